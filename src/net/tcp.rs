/*!
A TCP connection whose every operation ends when the run's wait ends, or earlier.
*/

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::process::wait::{Wait, is_obsolete};

/// Returns the address family of the socket that can reach `address`.
pub fn family_of(address: &SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// A TCP connection. Reads and writes block like those of [`TcpStream`], but not past the deadline.
#[derive(Debug)]
pub struct Tcp {
    /// In non-blocking mode.
    socket: TcpStream,
    wait: Wait,
    /// When reads and writes end, at the latest.
    until: Instant,
}

impl Tcp {
    /// Connects to the first of `addresses` that accepts. Each gets an equal share of the time that is
    /// left, so that a silent address leaves time for the next one.
    ///
    /// If all addresses fail, fails with the most useful error: that the server refused or was silent,
    /// rather than that one of its addresses is unreachable from this machine.
    pub fn connect(addresses: &[SocketAddr], wait: &Wait) -> io::Result<Self> {
        let mut most_useful: Option<io::Error> = None;
        for (tried, address) in addresses.iter().enumerate() {
            let share = wait.deadline().remaining() / (addresses.len() - tried) as u32;
            match Self::connect_until(address, Instant::now() + share, wait) {
                Ok(tcp) => return Ok(Self { until: wait.deadline().at(), ..tcp }),
                Err(error) if is_obsolete(&error) => return Err(error),
                Err(error) => {
                    let is_of_server =
                        matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::TimedOut);
                    if most_useful.is_none() || is_of_server {
                        most_useful = Some(error);
                    }
                }
            }
        }
        Err(most_useful.unwrap_or_else(|| ErrorKind::NotFound.into()))
    }

    /// Connects to `address`. Connecting, reading and writing end at `until`, and at the deadline.
    pub fn connect_until(address: &SocketAddr, until: Instant, wait: &Wait) -> io::Result<Self> {
        let family = family_of(address);
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match retry_on_intr(|| connect(&socket, address)) {
            Ok(()) | Err(Errno::ISCONN) => {}
            Err(Errno::INPROGRESS | Errno::ALREADY) => {
                wait.until_ready(socket.as_fd(), PollFlags::OUT, until)?;
                sockopt::socket_error(&socket)??;
            }
            Err(error) => return Err(error.into()),
        }
        let socket = TcpStream::from(socket);
        // Saves time, but the connection works without it.
        let _ = socket.set_nodelay(true);
        Ok(Self { socket, wait: wait.clone(), until })
    }

    /// Calls `io`, which never blocks, when the socket is ready for `flags`.
    fn when_ready<T>(
        &mut self,
        flags: PollFlags,
        mut io: impl FnMut(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            self.wait.until_ready(self.socket.as_fd(), flags, self.until)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::TcpListener;
    use std::time::Duration;

    use rustix::net::{bind, listen, socket};

    /// Returns a listening address that does not answer, because its queue of connections is full. It
    /// stays so while the listener and the connections are held.
    fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listen(&listener, 0).unwrap();
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap();
        let briefly = Duration::from_millis(50);
        let attempts = std::iter::from_fn(|| TcpStream::connect_timeout(&address, briefly).ok());
        let queue = attempts.collect();
        (address, listener, queue)
    }

    /// Returns an address that refuses connections.
    fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// Returns an address that no TCP connection can have.
    fn unreachable() -> SocketAddr {
        ([255, 255, 255, 255], 9).into()
    }

    #[test]
    fn silent_addresses_get_equal_shares_of_the_time() {
        let (silent, _listener, _queue) = silent();
        let alive = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [silent, silent, alive.local_addr().unwrap()];
        let start = Instant::now();
        let connected = Tcp::connect(&addresses, &Wait::for_test(Duration::from_millis(1800)));
        let took = start.elapsed();
        assert!(connected.is_ok(), "{connected:?}");
        assert!(took >= Duration::from_millis(1150), "{took:?}");
    }

    #[test]
    fn a_single_silent_address_gets_all_the_time() {
        let (silent, _listener, _queue) = silent();
        let start = Instant::now();
        let error =
            Tcp::connect(&[silent], &Wait::for_test(Duration::from_millis(300))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
    }

    #[test]
    fn after_an_error_the_next_address_is_tried_and_the_most_useful_error_is_kept() {
        let kind = |addresses: &[SocketAddr]| {
            let connected = Tcp::connect(addresses, &Wait::for_test(Duration::from_secs(10)));
            connected.map(drop).map_err(|error| error.kind())
        };
        let alive = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = alive.local_addr().unwrap();
        assert_eq!(kind(&[refusing(), unreachable(), alive]), Ok(()));
        for addresses in
            [&[refusing()][..], &[refusing(), unreachable()], &[unreachable(), refusing()]]
        {
            assert_eq!(kind(addresses), Err(ErrorKind::ConnectionRefused), "{addresses:?}");
        }
        let unreachable = kind(&[unreachable()]).unwrap_err();
        assert!(
            !matches!(unreachable, ErrorKind::ConnectionRefused | ErrorKind::NotFound),
            "{unreachable}"
        );
        assert_eq!(kind(&[]), Err(ErrorKind::NotFound));
    }

    #[test]
    fn a_reset_connection_fails_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let reset = || {
            let address = listener.local_addr().unwrap();
            let tcp = Tcp::connect(&[address], &Wait::for_test(Duration::from_secs(2))).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            sockopt::set_socket_linger(&accepted, Some(Duration::ZERO)).unwrap();
            tcp
        };
        let read = reset().read(&mut [0]).unwrap_err().kind();
        assert_eq!(read, ErrorKind::ConnectionReset);
        let written = reset().write(b"x").unwrap_err().kind();
        assert!(matches!(written, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{written}");
    }

    #[test]
    fn a_silent_address_is_more_useful_an_error_than_an_unreachable_one() {
        let (silent, _listener, _queue) = silent();
        let addresses = [silent, unreachable()];
        let error =
            Tcp::connect(&addresses, &Wait::for_test(Duration::from_millis(200))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
