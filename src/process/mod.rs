//! The process and what the system gives it: descriptors 0 to 2, time, memory, threads, signals, rights.

pub mod background;
pub mod confinement;
pub mod deadline;
pub mod input;
pub mod kernel_files;
pub mod memory;
pub mod output;
pub mod panics;
pub mod peer;
pub mod poll;
pub mod random;
pub mod request_line;
pub mod signals;
pub mod state_file;
pub mod timed;
pub mod wait;
