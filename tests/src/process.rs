//! What the system says of a process, and free ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The unit of `/proc/PID/stat`: `USER_HZ`, which is 100 on Linux whatever the kernel's own rate.
const TICKS_A_SECOND: u64 = 100;

/// Ports below those that the system gives to connections and to who asks for any: nobody takes one in between.
const PORTS: std::ops::Range<u32> = 10_000..32_000;

/// A loopback port that nobody listened on a moment ago, and that this process gives out once.
pub fn free_port() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other processes that do the same begin elsewhere.
    let start = std::process::id().wrapping_mul(7_919);
    let ports = std::iter::repeat_with(|| {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start)).unwrap_or(u16::MAX)
    });
    let places = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).take(PORTS.len());
    let mut free = places.filter(|place| TcpListener::bind(place).is_ok());
    free.next().expect("a loopback port is free")
}

/// User and system time so far, of all that runs on this machine.
pub fn all_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.split_whitespace().skip(1).map_while(|ticks| ticks.parse::<u64>().ok()).collect();
    // user nice system idle iowait irq softirq: all but the waiting. What is behind is somebody else's, or counted already.
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|index| fields.get(*index)).sum::<u64>();
    Duration::from_millis(busy * 1_000 / TICKS_A_SECOND)
}

/// A process, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// User and system time so far, of all its threads.
    pub fn cpu(self) -> Duration {
        let stat = self.read("stat");
        // The command's name is in parentheses and may contain anything: count fields after the last one.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND)
    }

    /// Resident memory, in bytes.
    pub fn resident(self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The most resident memory that it ever had, in bytes.
    pub fn peak_resident(self) -> u64 {
        self.kib("VmHWM:")
    }

    /// Lets its files grow up to so many bytes, or without a limit: what a full disk looks like to it.
    pub fn limit_files(self, bytes: Option<u64>) {
        let pid = i32::try_from(self.0).ok().and_then(Pid::from_raw).expect("a process has an id");
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(pid), Resource::Fsize, limit).expect("the limits of a child may be set");
    }

    fn kib(self, name: &str) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }

    fn read(self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap_or_default()
    }
}

/// Lets this process have as many open files as the system allows; the number that it then may have.
pub fn most_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it is not allowed the old limit holds.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let this = Process(std::process::id());
        assert!(this.resident() > 1 << 20);
        assert!(this.peak_resident() >= this.resident() / 2);
        let before = this.cpu();
        let begin = std::time::Instant::now();
        let mut sum = 0_u64;
        while begin.elapsed() < Duration::from_millis(200) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(this.cpu().saturating_sub(before) >= Duration::from_millis(50));
    }

    #[test]
    fn free_ports_can_be_bound() {
        assert!(TcpListener::bind(free_port()).is_ok());
    }
}
