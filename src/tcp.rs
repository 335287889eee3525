/*!
A TCP connection on which nothing can wait longer than the run's patience.
*/

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::patience::Patience;

/// A connection that reads and writes like a blocking one, up to the deadline.
#[derive(Debug)]
pub struct Tcp {
    /// Non-blocking.
    socket: TcpStream,
    patience: Patience,
}

impl Tcp {
    /// Connects to the first of `addresses` that accepts. Each has an equal share of the time that is
    /// left, so that one that does not answer leaves time for the next.
    ///
    /// Fails with the error that says most: that the server refused or was silent, rather than that
    /// this machine has no way to one of its addresses.
    pub fn connect(addresses: &[SocketAddr], patience: &Patience) -> io::Result<Self> {
        let mut telling: Option<io::Error> = None;
        for (tried, address) in addresses.iter().enumerate() {
            let share = patience.deadline().remaining() / (addresses.len() - tried) as u32;
            match Self::connect_one(address, Instant::now() + share, patience) {
                Ok(stream) => return Ok(stream),
                // The wait was overruled: nothing will come of another address.
                Err(error) if error.kind() == ErrorKind::Other => return Err(error),
                Err(error) => {
                    let is_of_server =
                        matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::TimedOut);
                    if telling.is_none() || is_of_server {
                        telling = Some(error);
                    }
                }
            }
        }
        Err(telling.unwrap_or_else(|| ErrorKind::NotFound.into()))
    }

    fn connect_one(address: &SocketAddr, until: Instant, patience: &Patience) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match retry_on_intr(|| connect(&socket, address)) {
            Ok(()) | Err(Errno::ISCONN) => {}
            Err(Errno::INPROGRESS | Errno::ALREADY) => {
                patience.wait(socket.as_fd(), PollFlags::OUT, until)?;
                sockopt::socket_error(&socket)??;
            }
            Err(error) => return Err(error.into()),
        }
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        Ok(Self { socket, patience: patience.clone() })
    }

    /// Does `io`, which never blocks, as soon as the socket is ready for it.
    fn when_ready<T>(
        &mut self,
        flags: PollFlags,
        mut io: impl FnMut(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            self.patience.wait(self.socket.as_fd(), flags, self.patience.deadline().at())?;
            match io(&mut self.socket) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                result => return result,
            }
        }
    }
}

impl Read for Tcp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::IN, |socket| socket.read(buffer))
    }
}

impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::OUT, |socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
