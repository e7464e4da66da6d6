//! With a resolver of our own on loopback.

use ebb_kit::Shutdown;
use tokio::io::AsyncReadExt;

use super::*;

const QUESTION: [u8; 14] = [0xab, 0xcd, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2];

fn config(resolvers: Vec<SocketAddr>) -> Config {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config {
        listen,
        resolvers,
        timeout: Duration::from_millis(500),
        udp: Most { all: 16, each: 4 },
        tcp: Most { all: 16, each: 1 },
        idle: Duration::from_secs(2),
    }
}

/// A forwarder that runs; its address and what ends it.
fn start(config: &Config) -> (SocketAddr, Tasks) {
    let tasks = Tasks::new(Shutdown::new());
    // The free UDP port may be taken for TCP: then another one.
    let bind = |_| Forwarder::bind(config.clone(), tasks.clone()).ok();
    let forwarder = (0..20).find_map(bind).unwrap();
    let address = forwarder.local_addr().unwrap();
    tasks.spawn("forwarder", forwarder.run());
    (address, tasks)
}

async fn client(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).await.unwrap();
    buffer[..length].to_vec()
}

#[tokio::test]
async fn a_question_goes_to_the_resolver_and_its_answer_back() {
    let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = start(&config(vec![resolver.local_addr().unwrap()]));
    let client = client(address).await;
    client.send(&QUESTION).await.unwrap();
    let mut buffer = [0; 512];
    let (length, from) = resolver.recv_from(&mut buffer).await.unwrap();
    assert_eq!(buffer[..length], QUESTION);
    // A forged answer has another identifier and is passed over.
    resolver.send_to(&[0; 20], from).await.unwrap();
    let mut answer = QUESTION.to_vec();
    answer[2] |= 0x80;
    resolver.send_to(&answer, from).await.unwrap();
    assert_eq!(receive(&client).await, answer);
    tasks.shutdown().call();
    tasks.join().await;
}

#[tokio::test]
async fn the_second_resolver_answers_when_the_first_is_not_there() {
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = start(&config(vec![gone, resolver.local_addr().unwrap()]));
    let client = client(address).await;
    client.send(&QUESTION).await.unwrap();
    let mut buffer = [0; 512];
    let (length, from) = resolver.recv_from(&mut buffer).await.unwrap();
    resolver.send_to(&buffer[..length], from).await.unwrap();
    assert_eq!(receive(&client).await, QUESTION);
    tasks.shutdown().call();
    tasks.join().await;
}

#[tokio::test]
async fn without_a_resolver_the_answer_is_a_refusal() {
    let (address, tasks) = start(&config(Vec::new()));
    let client = client(address).await;
    // Neither too short a message nor an answer is answered.
    client.send(&QUESTION[..5]).await.unwrap();
    client.send(&[0xff; 20]).await.unwrap();
    client.send(&QUESTION).await.unwrap();
    let answer = receive(&client).await;
    assert_eq!(answer, [0xab, 0xcd, 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Over TCP the connection is closed.
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    tasks.shutdown().call();
    tasks.join().await;
}

#[tokio::test]
async fn connections_are_relayed() {
    let resolver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = start(&config(vec![resolver.local_addr().unwrap()]));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"question").await.unwrap();
    let (mut server, _) = resolver.accept().await.unwrap();
    let mut buffer = [0; 8];
    server.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    client.shutdown().await.unwrap();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
    tasks.shutdown().call();
    tasks.join().await;
}

#[tokio::test]
async fn one_asker_has_its_share_and_udp_is_not_taken_by_connections() {
    let questions = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = questions.local_addr().unwrap();
    let connections = TcpListener::bind(resolver).await.unwrap();
    let slow = Config { timeout: Duration::from_mins(1), ..config(vec![resolver]) };
    let (address, tasks) = start(&slow);
    let first = TcpStream::connect(address).await.unwrap();
    let kept = connections.accept().await.unwrap();
    // The second connection of the same asker is closed.
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0);
    // Another asker has a share of its own.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other = other.connect(address).await.unwrap();
    let accepted = connections.accept().await.unwrap();
    // Questions have places of their own: four for each.
    let client = client(address).await;
    let mut buffer = [0; 512];
    for _ in 0..4 {
        client.send(&QUESTION).await.unwrap();
        assert_eq!(questions.recv_from(&mut buffer).await.unwrap().0, QUESTION.len());
    }
    client.send(&[0x11; 14]).await.unwrap();
    let neighbour = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    neighbour.send_to(&QUESTION, address).await.unwrap();
    // The fifth of the first asker was dropped: the next that comes is the neighbour's.
    assert_eq!(questions.recv_from(&mut buffer).await.unwrap().0, QUESTION.len());
    assert_eq!(buffer[..14], QUESTION);
    drop((first, kept, other, accepted));
    // The questions would be waited for.
    tasks.shutdown().call();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_is_closed() {
    let resolver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = start(&config(vec![resolver.local_addr().unwrap()]));
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut server, _) = resolver.accept().await.unwrap();
    // Nobody says anything: both ends see the end.
    assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(server.read(&mut [0; 8]).await.unwrap_or(0), 0);
    tasks.shutdown().call();
    tasks.join().await;
}

#[tokio::test]
async fn an_address_that_does_not_exist_yet_is_bound() {
    let listen = SocketAddr::from((Ipv4Addr::new(100, 127, 255, 1), 0));
    let tasks = Tasks::new(Shutdown::new());
    let forwarder = Forwarder::bind(Config { listen, ..config(Vec::new()) }, tasks).unwrap();
    assert_eq!(forwarder.local_addr().unwrap().ip(), listen.ip());
}

#[test]
fn resolvers_are_read_from_resolv_conf() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    let text =
        "# comment\nsearch a b\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \nnameserver x\n";
    std::fs::write(&path, text).unwrap();
    let all: Vec<String> = host_resolvers(&path).iter().map(ToString::to_string).collect();
    assert_eq!(all, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    assert!(host_resolvers(&dir.path().join("none")).is_empty());
}
