//! Asks the standard library for what the type of the event says, about what its subject says; the answer is the reason for
//! which it drops the event.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, process, thread};

use stagewire_plugin::{Error, Event, Filter, NoSettings, Verdict, now};

struct Guest;

impl Filter for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let about = event.subject().unwrap_or_default();
        let answer = match event.kind().as_str() {
            "read" => fs::read_to_string(&about).unwrap_or_else(|error| format!("error: {error}")),
            "write" => told(fs::write(&about, "written")),
            "remove" => told(fs::remove_file(&about)),
            "list" => match fs::read_dir(&about) {
                Ok(entries) => {
                    let names =
                        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
                    let mut names: Vec<_> = names.collect();
                    names.sort();
                    names.join(" ")
                }
                Err(error) => format!("error: {error}"),
            },
            "variables" => env::vars().map(|(name, value)| format!("{name}={value} ")).collect(),
            "time" => {
                let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                format!("{} {}", time.as_nanos(), now())
            }
            "wait" => {
                let begun = Instant::now();
                thread::sleep(Duration::from_millis(about.parse().unwrap_or(0)));
                begun.elapsed().as_millis().to_string()
            }
            "random" => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).map_err(|error| Error::permanent(error.to_string()))?;
                format!("{bytes:?}")
            }
            "connect" => told(TcpStream::connect(about.as_str())),
            "look-up" => told(std::net::ToSocketAddrs::to_socket_addrs(&(about.as_str(), 80))),
            "print" => {
                println!("{about}");
                eprint!("without an end");
                told(std::io::stderr().flush())
            }
            "exit" => process::exit(3),
            "loop" => loop {
                std::hint::spin_loop();
            },
            _ => return Ok(Verdict::Keep),
        };
        Ok(Verdict::drop(answer))
    }
}

fn told<T>(result: std::io::Result<T>) -> String {
    result.map_or_else(|error| format!("error: {error}"), |_| "done".into())
}

stagewire_plugin::filter!(Guest);
