//! What this process takes of the machine.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What it takes now. What the machine does not tell is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU time since the start, in user and system mode.
    pub cpu_seconds: Option<f64>,
    /// Memory in RAM.
    pub resident_bytes: Option<u64>,
    /// Open files and sockets.
    pub open_fds: Option<u64>,
    /// How many may be open.
    pub max_fds: Option<u64>,
}

impl Usage {
    /// Looks. Costs a few reads of files that are in memory.
    pub fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").ok();
        // The directory that is being read is one of them.
        let fds = fs::read_dir("/proc/self/fd").ok();
        let fds = fds.map(|fds| (fds.count() as u64).saturating_sub(1));
        Self {
            cpu_seconds: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
            resident_bytes: status.as_deref().and_then(resident_bytes),
            open_fds: fds,
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

/// `VmRSS:     1234 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something() {
        let usage = Usage::now();
        assert!(usage.cpu_seconds.unwrap() > 0.0);
        assert!(usage.resident_bytes.unwrap() > 100_000);
        let open = usage.open_fds.unwrap();
        assert!(open >= 1 && open < usage.max_fds.unwrap_or(u64::MAX));
        let one_more = fs::File::open("/proc/self/status").unwrap();
        assert!(Usage::now().open_fds.unwrap() > 0);
        drop(one_more);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t    12 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(resident_bytes("VmRSS:\t    12 MB\n"), None);
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }
}
