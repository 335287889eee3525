//! A name server on a loopback address of its own. A test says what it answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// The types of records; RFC 1035, 3.2.2.
pub const A: u16 = 1;
pub const CNAME: u16 = 5;

/// The class of the Internet; RFC 1035, 3.2.4.
pub const IN: u16 = 1;

/// The length of the header; RFC 1035, 4.1.1.
const HEADER: usize = 12;

/// A question that has come.
#[derive(Clone, Debug)]
pub struct Question {
    packet: Vec<u8>,
    pub client: SocketAddr,
    pub is_over_tcp: bool,
}

impl Question {
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.packet[0], self.packet[1]])
    }

    /// The name, without a dot at its end.
    pub fn name(&self) -> String {
        let mut labels = Vec::new();
        let mut rest = &self.packet[HEADER..];
        while rest[0] > 0 {
            let (label, after) = rest[1..].split_at(usize::from(rest[0]));
            labels.push(String::from_utf8(label.to_vec()).unwrap());
            rest = after;
        }
        labels.join(".")
    }

    pub fn record_type(&self) -> u16 {
        let place = HEADER + name(&self.name()).len();
        u16::from_be_bytes([self.packet[place], self.packet[place + 1]])
    }

    /// An answer with these records.
    pub fn answer(&self, records: &[Vec<u8>]) -> Vec<u8> {
        let end = HEADER + name(&self.name()).len() + 4;
        let mut packet = [&self.packet[..end], &records.concat()].concat();
        set(&mut packet, 2, 0x8180);
        set(&mut packet, 6, records.len() as u16);
        set(&mut packet, 8, 0);
        set(&mut packet, 10, 0);
        packet
    }

    /// An answer that gives the name this address, in the form 127.0.0.N.
    pub fn address(&self, last: u8) -> Vec<u8> {
        self.answer(&[address(&self.name(), last)])
    }

    /// An answer with this code; RFC 1035, 4.1.1.
    pub fn error(&self, code: u8) -> Vec<u8> {
        let mut packet = self.answer(&[]);
        packet[3] |= code;
        packet
    }

    /// An answer that is cut.
    pub fn cut(&self, records: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = self.answer(records);
        packet[2] |= 0x02;
        packet
    }
}

/// Sets two bytes of a packet.
pub fn set(packet: &mut [u8], place: usize, value: u16) {
    packet[place..place + 2].copy_from_slice(&value.to_be_bytes());
}

/// A name as packets hold it.
pub fn name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

pub fn record(owner: &str, record_type: u16, class: u16, data: &[u8]) -> Vec<u8> {
    let head = [record_type, class, 0, 60, data.len() as u16].map(u16::to_be_bytes).concat();
    [&name(owner), &head, data].concat()
}

/// The record that gives a name the address 127.0.0.N.
pub fn address(owner: &str, last: u8) -> Vec<u8> {
    record(owner, A, IN, &[127, 0, 0, last])
}

/// The record that makes a name the alias of another.
pub fn alias(owner: &str, of: &str) -> Vec<u8> {
    record(owner, CNAME, IN, &name(of))
}

/// A name server on port 53. It ends with the test program.
pub struct NameServer {
    pub address: SocketAddr,
    questions: Arc<Mutex<Vec<Question>>>,
}

impl NameServer {
    /// A name server that resolves every name to 127.0.0.1.
    pub fn new() -> Self {
        Self::start(|question, send| send(&question.address(1)))
    }

    /// A name server on a loopback address of its own. It answers a question over UDP by sending any number of
    /// packets. It refuses connections.
    pub fn start(
        answer: impl Fn(&Question, &dyn Fn(&[u8])) + Clone + Send + Sync + 'static,
    ) -> Self {
        // Test programs run side by side, and an address may be in use for TCP by one of them.
        let hosts = (1..=254).map(|n| SocketAddr::from((Ipv4Addr::new(127, 253, 0, n), 53)));
        let mut sockets = hosts.filter_map(|address| UdpSocket::bind(address).ok());
        Self::serve(sockets.next().expect("root may listen at port 53"), answer)
    }

    /// The same on this address.
    pub fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Question, &dyn Fn(&[u8])) + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::serve(UdpSocket::bind(address).unwrap(), answer)
    }

    /// Accepts connections, too, and reads a question from each.
    pub fn with_tcp(self, answer: impl Fn(&Question, TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind(self.address).unwrap();
        let questions = Arc::clone(&self.questions);
        thread::spawn(move || {
            while let Ok((mut stream, client)) = listener.accept() {
                let (answer, questions) = (answer.clone(), Arc::clone(&questions));
                thread::spawn(move || {
                    let mut length = [0; 2];
                    stream.read_exact(&mut length).unwrap();
                    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut packet).unwrap();
                    let question = Question { packet, client, is_over_tcp: true };
                    questions.lock().unwrap().push(question.clone());
                    answer(&question, stream);
                });
            }
        });
        self
    }

    fn serve(
        socket: UdpSocket,
        answer: impl Fn(&Question, &dyn Fn(&[u8])) + Clone + Send + Sync + 'static,
    ) -> Self {
        let address = socket.local_addr().unwrap();
        let questions = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&questions);
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let packet = buffer[..length].to_vec();
                let question = Question { packet, client, is_over_tcp: false };
                log.lock().unwrap().push(question.clone());
                let (socket, answer) = (socket.try_clone().unwrap(), answer.clone());
                thread::spawn(move || {
                    // The client may have closed its socket.
                    answer(&question, &|packet| _ = socket.send_to(packet, client));
                });
            }
        });
        Self { address, questions }
    }

    /// The questions that have come, in their order.
    pub fn questions(&self) -> Vec<Question> {
        self.questions.lock().unwrap().clone()
    }

    /// The words to put before a command so that it uses this name server.
    pub fn command_prefix(&self) -> Vec<String> {
        command_prefix(&format!("nameserver {}\n", self.address.ip()))
    }
}

/// The words to put before a command so that it finds this text in /etc/resolv.conf.
pub fn command_prefix(resolv_conf: &str) -> Vec<String> {
    let script = "mount -t tmpfs tmpfs /mnt && printf %s \"$0\" >/mnt/resolv.conf &&
        mount --bind /mnt/resolv.conf /etc/resolv.conf && exec \"$@\"";
    ["unshare", "--map-root-user", "--mount", "sh", "-c", script, resolv_conf]
        .map(str::to_owned)
        .into()
}

/// Sends a packet over TCP, after its length.
pub fn send_over_tcp(mut stream: &TcpStream, packet: &[u8]) {
    let length = (packet.len() as u16).to_be_bytes();
    // The client may have closed its connection.
    let _ = stream.write_all(&[&length, packet].concat());
}
