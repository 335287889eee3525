//! The process and what it was started with: its descriptors, its deadline, its memory, its rights.

pub mod background;
pub mod confinement;
pub mod connection;
pub mod deadline;
pub mod memory;
pub mod panics;
pub mod signals;
pub mod wait;
