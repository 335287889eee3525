//! `memory`: the memory of the machine that is in use.

use std::error::Error;
use std::fmt;

use sysinfo::{MemoryRefreshKind, System};

use crate::process::background::BackgroundError;
use crate::process::deadline::Deadline;
use crate::process::kernel_files;
use crate::values::value::{Source, ValueKind};

pub const MEMORY: ValueKind = ValueKind {
    name: "memory",
    unit: "%",
    default_limit: Some(90.0),
    is_default: false,
    source: Source::Machine { title: "memory", read: |_, deadline| Ok(used_percent(deadline)?) },
};

/// The files that sysinfo reads; proc_meminfo(5), proc_stat(5).
const FILES: [kernel_files::KernelFile; 2] = [("/proc/meminfo", "/proc"), ("/proc/stat", "/proc")];

/// Why the memory in use is unavailable.
#[derive(Debug)]
enum MemoryError {
    /// `/proc/meminfo` cannot be read, or does not tell how much memory there is.
    Unknown,
    Background(BackgroundError),
}

impl Error for MemoryError {}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("/proc/meminfo does not tell how much memory there is"),
            Self::Background(error) => write!(f, "reading /proc/meminfo {error}"),
        }
    }
}

/// The memory that is in use, in percent of all. Memory that the kernel can free at once, such as its caches, is
/// not in use.
///
/// Both figures are the machine's, in a container too. The limit of a cgroup does not count.
fn used_percent(deadline: Deadline) -> Result<f64, MemoryError> {
    kernel_files::read(&FILES, measure, deadline)
        .unwrap_or_else(|error| Err(MemoryError::Background(error)))
}

fn measure() -> Result<f64, MemoryError> {
    let mut system = System::new().map_err(|_| MemoryError::Unknown)?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    percent(system.total_memory(), system.available_memory()).ok_or(MemoryError::Unknown)
}

/// How much of `total` is not `available`, in percent. `None` if there is no memory at all: sysinfo says so if it
/// cannot read the file.
fn percent(total: u64, available: u64) -> Option<f64> {
    let used = total.saturating_sub(available);
    (total > 0).then(|| used as f64 / total as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_available_is_in_use() {
        assert_eq!(percent(400, 100), Some(75.0));
        assert_eq!(percent(400, 0), Some(100.0));
        assert_eq!(percent(400, 401), Some(0.0));
        assert_eq!(percent(0, 0), None);
    }
}
