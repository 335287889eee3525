//! `cpu`: the load average of the machine, divided by the number of its online processors.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;

use sysinfo::{CpuRefreshKind, System};

use crate::process::background::BackgroundError;
use crate::process::deadline::Deadline;
use crate::process::kernel_files;
use crate::values::settings::LoadAverage;
use crate::values::value::{Source, ValueKind};

pub const CPU: ValueKind = ValueKind {
    name: "cpu",
    unit: "%",
    default_limit: Some(90.0),
    is_default: true,
    source: Source::Machine {
        title: "load average",
        read: |settings, deadline| Ok(percent(settings.load, deadline)?),
    },
};

/// The load averages; proc_loadavg(5).
const LOAD_AVERAGE: &str = "/proc/loadavg";

/// The list of processors that are online; cpulists(7).
const ONLINE_PROCESSORS: &str = "/sys/devices/system/cpu/online";

/// Why the load is unavailable.
#[derive(Debug)]
enum LoadError {
    Unreadable(io::Error),
    Malformed,
    /// The processors cannot be counted in `/sys` or `/proc/stat`.
    UnknownProcessors,
    Background(BackgroundError),
}

impl Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot read /proc/loadavg: {error}"),
            Self::Malformed => f.write_str("cannot understand /proc/loadavg"),
            Self::UnknownProcessors => {
                f.write_str("cannot count the processors in /sys or /proc/stat")
            }
            Self::Background(error) => write!(f, "reading the load average {error}"),
        }
    }
}

/// The load average per online processor, in percent.
///
/// Both figures are the machine's, in a container too. CPU affinity and the quota of a cgroup do not count,
/// because the kernel does not use them for the load average.
fn percent(load: LoadAverage, deadline: Deadline) -> Result<f64, LoadError> {
    let files = [(LOAD_AVERAGE, "/proc"), (ONLINE_PROCESSORS, "/sys")];
    kernel_files::read(&files, move || measure(load), deadline)
        .unwrap_or_else(|error| Err(LoadError::Background(error)))
}

fn measure(load: LoadAverage) -> Result<f64, LoadError> {
    let text = fs::read_to_string(LOAD_AVERAGE).map_err(LoadError::Unreadable)?;
    let load = parse_load_average(&text, load).ok_or(LoadError::Malformed)?;
    let processors = online_processors().ok_or(LoadError::UnknownProcessors)?;
    Ok(load / processors as f64 * 100.0)
}

/// Reads one load average from the text of `/proc/loadavg`, as proc_loadavg(5) describes it.
///
/// sysinfo is not used: it reads a malformed text as a load of 0, so that any machine would look idle.
pub fn parse_load_average(text: &str, load: LoadAverage) -> Option<f64> {
    let mut columns = text.split_ascii_whitespace().map(|column| {
        let load: f64 = column.parse().ok()?;
        (load.is_finite() && load >= 0.0).then_some(load)
    });
    let [one, five, fifteen] = [columns.next()??, columns.next()??, columns.next()??];
    Some(match load {
        LoadAverage::OneMinute => one,
        LoadAverage::FiveMinutes => five,
        LoadAverage::FifteenMinutes => fifteen,
    })
}

/// The number of the machine's online processors, from the kernel's list.
///
/// sysinfo counts them only if there is no `/sys`. It also reads all of `/proc/cpuinfo`, and that takes as
/// long as the rest of the run.
fn online_processors() -> Option<usize> {
    let listed = fs::read_to_string(ONLINE_PROCESSORS);
    if let Some(count) = listed.ok().and_then(|list| count_listed(&list)) {
        return Some(count);
    }
    let mut system = System::new().ok()?;
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    Some(system.cpus().len()).filter(|&count| count > 0)
}

/// Counts the members of a list such as `0-3,6`; the kernel's cpulists(7).
pub fn count_listed(list: &str) -> Option<usize> {
    let count_range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.trim().split(',').try_fold(0_usize, |count, range| count.checked_add(count_range(range)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_load_average_has_its_column() {
        let text = "0.52 1.25 2.00 3/1234 56789\n";
        for (column, load) in [
            (LoadAverage::OneMinute, 0.52),
            (LoadAverage::FiveMinutes, 1.25),
            (LoadAverage::FifteenMinutes, 2.0),
        ] {
            assert_eq!(parse_load_average(text, column), Some(load));
        }
    }

    #[test]
    fn a_malformed_load_average_is_an_error() {
        for text in
            ["", "0.52 1/2 3", "1/2 3", "0.52 x 2.00", "0.1 nan 0.1", "0.1 -1 0.1", "0.1 inf 0.1"]
        {
            assert_eq!(parse_load_average(text, LoadAverage::FiveMinutes), None, "{text}");
        }
    }

    #[test]
    fn ranges_of_processors_are_counted() {
        for (list, count) in [("0\n", 1), ("0-3\n", 4), ("0-3,6,8-9\n", 7)] {
            assert_eq!(count_listed(list), Some(count), "{list}");
        }
        for list in [
            "",
            "\n",
            "a",
            "3-0",
            "0-",
            "0,,1",
            "0-18446744073709551615",
            "1-18446744073709551615,0",
        ] {
            assert_eq!(count_listed(list), None, "{list}");
        }
    }

    #[test]
    fn sysinfo_and_the_kernels_list_agree() {
        let mut system = System::new().unwrap();
        system.refresh_cpu_list(CpuRefreshKind::nothing());
        assert_eq!(online_processors(), Some(system.cpus().len()));
    }
}
