/*!
The machine's load: its load average over its online processors.
*/

use std::fs;

use sysinfo::{CpuRefreshKind, System};

/// Which of the kernel's three load averages is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    OneMinute,
    FiveMinutes,
    FifteenMinutes,
}

/// The load average per online processor, in percent.
///
/// Both figures are the machine's, in a container too: the process's affinity and its cgroup's quota
/// play no part, since the load average knows nothing of them.
///
/// Fails with a sentence when `/proc/loadavg` or `/proc/stat` cannot be read or understood.
pub fn percent(period: Period) -> Result<f64, String> {
    let text = fs::read_to_string("/proc/loadavg")
        .map_err(|error| format!("cannot read /proc/loadavg: {error}"))?;
    let load = parse_load_average(&text, period).ok_or("cannot understand /proc/loadavg")?;
    let processors = online_processors().ok_or("cannot read the processors from /proc/stat")?;
    Ok(load / processors as f64 * 100.0)
}

/// Reads one load average from the text of `/proc/loadavg`, as proc_loadavg(5) describes it.
///
/// Not left to sysinfo, which takes what it does not understand as a load of 0: as an idle machine.
fn parse_load_average(text: &str, period: Period) -> Option<f64> {
    let column = match period {
        Period::OneMinute => 0,
        Period::FiveMinutes => 1,
        Period::FifteenMinutes => 2,
    };
    let load: f64 = text.split_ascii_whitespace().nth(column)?.parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

/// The machine's online processors.
fn online_processors() -> Option<usize> {
    let mut system = System::new().ok()?;
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let count = system.cpus().len();
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_has_its_column() {
        let text = "0.52 1.25 2.00 3/1234 56789\n";
        for (period, load) in
            [(Period::OneMinute, 0.52), (Period::FiveMinutes, 1.25), (Period::FifteenMinutes, 2.0)]
        {
            assert_eq!(parse_load_average(text, period), Some(load));
        }
    }

    #[test]
    fn what_is_no_load_average_is_no_idle_machine() {
        for text in ["", "0.52", "0.52 x 2.00", "0.1 nan 0.1", "0.1 -1 0.1", "0.1 inf 0.1"] {
            assert_eq!(parse_load_average(text, Period::FiveMinutes), None, "{text}");
        }
    }

    #[test]
    fn this_machine_has_a_processor() {
        assert!(online_processors().is_some_and(|count| count >= 1));
    }
}
