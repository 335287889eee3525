/*!
The machine's load: its load average over its online processors.
*/

use std::fs;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use sysinfo::{CpuRefreshKind, System};

use crate::process::background;
use crate::process::deadline::Deadline;

/// The load averages; proc_loadavg(5).
const LOAD_AVERAGE: &str = "/proc/loadavg";

/// The list of processors that are online; cpulists(7).
const ONLINE_PROCESSORS: &str = "/sys/devices/system/cpu/online";

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
/// Fails with a sentence when `/proc/loadavg` cannot be read or understood, when there is neither `/sys`
/// nor `/proc/stat`, and at the deadline.
pub fn percent(period: Period, deadline: Deadline) -> Result<f64, String> {
    if is_of_kernel(LOAD_AVERAGE, "/proc") && is_of_kernel(ONLINE_PROCESSORS, "/sys") {
        return measure(period);
    }
    background::run(move || measure(period), deadline)
        .unwrap_or_else(|problem| Err(format!("reading the load average {problem}")))
}

/// Whether `file` is one of the kernel's own below `mount`, and not another process's in its place, as
/// lxcfs's in a container, which may hang. Asks nobody but the kernel, and costs less than a thread.
fn is_of_kernel(file: &str, mount: &str) -> bool {
    let device = |path| {
        let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).ok()?;
        Some((found.stx_dev_major, found.stx_dev_minor))
    };
    device(file).is_some_and(|found| device(mount) == Some(found))
}

fn measure(period: Period) -> Result<f64, String> {
    let text = fs::read_to_string(LOAD_AVERAGE)
        .map_err(|error| format!("cannot read /proc/loadavg: {error}"))?;
    let load = parse_load_average(&text, period).ok_or("cannot understand /proc/loadavg")?;
    let processors =
        online_processors().ok_or("cannot count the processors in /sys or /proc/stat")?;
    Ok(load / processors as f64 * 100.0)
}

/// Reads one load average from the text of `/proc/loadavg`, as proc_loadavg(5) describes it.
///
/// Not left to sysinfo, which takes what it does not understand as a load of 0: as an idle machine.
pub fn parse_load_average(text: &str, period: Period) -> Option<f64> {
    let mut columns = text.split_ascii_whitespace().map(|column| {
        let load: f64 = column.parse().ok()?;
        (load.is_finite() && load >= 0.0).then_some(load)
    });
    let [one, five, fifteen] = [columns.next()??, columns.next()??, columns.next()??];
    Some(match period {
        Period::OneMinute => one,
        Period::FiveMinutes => five,
        Period::FifteenMinutes => fifteen,
    })
}

/// The machine's online processors: as the kernel lists them, or counted by sysinfo in `/proc/stat`
/// where there is no `/sys`.
///
/// sysinfo reads all of `/proc/cpuinfo` too, which takes as long as the rest of the run.
fn online_processors() -> Option<usize> {
    let listed = fs::read_to_string(ONLINE_PROCESSORS);
    if let Some(count) = listed.ok().and_then(|list| count_listed(&list)) {
        return Some(count);
    }
    let mut system = System::new().ok()?;
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    Some(system.cpus().len()).filter(|&count| count > 0)
}

/// Counts the members of a list like `0-3,6`, the form of the kernel's cpulists(7).
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
        for text in
            ["", "0.52 1/2 3", "1/2 3", "0.52 x 2.00", "0.1 nan 0.1", "0.1 -1 0.1", "0.1 inf 0.1"]
        {
            assert_eq!(parse_load_average(text, Period::FiveMinutes), None, "{text}");
        }
    }

    #[test]
    fn a_list_of_processors_is_counted() {
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
