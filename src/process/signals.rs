/*!
Signals that must not end a run before its reply.
*/

use std::sync::Arc;

use signal_hook::consts::{SIGALRM, SIGPROF, SIGVTALRM};
use signal_hook::flag;

/// Keeps timers from ending the process. A timer that was set before the program was started still runs
/// afterwards: alarm(2) and setitimer(2) outlive execve(2), and their signals end a process by default.
///
/// The handlers do nothing of use. To ignore the signals (`SIG_IGN`) would take unsafe code.
pub fn ignore_timers() {
    for signal in [SIGALRM, SIGVTALRM, SIGPROF] {
        // Nothing reads the flag: an interrupted wait is simply resumed. If the kernel refuses the
        // handler, the run goes on without it.
        let _ = flag::register(signal, Arc::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use signal_hook::low_level::raise;

    #[test]
    fn timers_do_not_end_the_process() {
        ignore_timers();
        for signal in [SIGALRM, SIGVTALRM, SIGPROF] {
            raise(signal).unwrap();
        }
    }
}
