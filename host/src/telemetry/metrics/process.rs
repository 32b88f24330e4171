//! What the process itself takes, under the names that every exporter of Prometheus uses (`process_…`). Read when it is
//! asked for; where the system has no `/proc`, nothing is said.

use std::fmt::Write;

use super::declare::Declared;

/// Clock ticks a second in `/proc`: part of the kernel's interface to programs (`USER_HZ`), on every machine the same.
const TICKS: f64 = 100.0;

const LIST: [(&str, &str, &str, &str); 7] = [
    ("process_cpu_seconds_total", "counter", "seconds", "seconds of CPU, of the user and the system"),
    ("process_resident_memory_bytes", "gauge", "bytes", "memory that is resident"),
    ("process_virtual_memory_bytes", "gauge", "bytes", "addresses that are mapped"),
    ("process_threads", "gauge", "", "threads"),
    ("process_open_fds", "gauge", "", "file descriptors that are open"),
    ("process_max_fds", "gauge", "", "file descriptors that may be open"),
    ("process_start_time_seconds", "gauge", "seconds", "when it was started, Unix time"),
];

/// What is shown.
pub(super) fn declared() -> impl Iterator<Item = Declared> {
    LIST.into_iter().map(|(name, kind, unit, help)| Declared {
        name: name.into(),
        kind,
        unit,
        labels: &[],
        help,
    })
}

/// Appends it in the OpenMetrics text format.
pub(super) fn render(text: &mut String) {
    let values = values().unwrap_or_default();
    for ((name, kind, unit, help), value) in LIST.into_iter().zip(values) {
        let family = name.strip_suffix("_total").unwrap_or(name);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {family} {help}.\n# TYPE {family} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(text, "# UNIT {family} {unit}");
        }
        let _ = writeln!(text, "{name} {value}");
    }
}

/// In the order of the list.
fn values() -> Option<Vec<f64>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name may hold spaces; what follows has none.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<f64>().ok()
    };
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let most = most.split_whitespace().next()?.parse().unwrap_or(f64::INFINITY);
    let booted = std::fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(vec![
        (field(14)? + field(15)?) / TICKS,
        line("VmRSS")? * 1_024.0,
        line("VmSize")? * 1_024.0,
        line("Threads")?,
        std::fs::read_dir("/proc/self/fd").ok()?.count() as f64,
        most,
        booted + field(22)? / TICKS,
    ])
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_process_says_what_it_takes() {
        let values = values().unwrap();
        assert_eq!(values.len(), LIST.len());
        assert!(values.iter().all(|value| *value >= 0.0), "{values:?}");
        assert!(values[1] > 1_000_000.0 && values[2] >= values[1] && values[3] >= 1.0, "{values:?}");
        let now = crate::journal::now_ms() as f64 / 1_000.0;
        assert!(values[6] <= now + 2.0 && now - values[6] < 86_400.0, "{values:?}");
    }
}
