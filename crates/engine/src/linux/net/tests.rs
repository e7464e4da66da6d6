//! With real namespaces, links and packets. The "host" of each test is a network namespace of its
//! own, so the tests disturb neither the machine nor each other, and what they leave ends with it.
//!
//! A packet that must not arrive is shown to be missing by one that was sent after it and did
//! arrive; threads are pinned to a CPU so that the order is kept.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::*;

const CELL: &str = "0a1b2c";
/// The host's address on the network outside, and two addresses of a server there.
const UPLINK: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const WORLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// Runs `test` on a thread in a new network namespace.
fn in_own_host(test: impl FnOnce() + Send + 'static) {
    let result = thread::spawn(|| {
        pin();
        netns::unshare_network().unwrap();
        let mut batch = Batch::new();
        link::up(&mut batch, 1, &[]);
        Socket::route().unwrap().run(&batch).unwrap();
        test();
    });
    result.join().unwrap();
}

/// Runs `work` on a thread in `namespace`.
fn inside<T: Send + 'static>(namespace: &OwnedFd, work: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = namespace.try_clone().unwrap();
    let thread = thread::spawn(move || {
        pin();
        let kind = Some(LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).unwrap();
        work()
    });
    thread.join().unwrap()
}

fn pin() {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(0);
    rustix::thread::sched_setaffinity(None, &cpus).unwrap();
}

fn claim() -> (tempfile::TempDir, Claim) {
    let dir = tempfile::tempdir().unwrap();
    let claim = claims::tests::claim(dir.path(), CELL);
    (dir, claim)
}

fn network(config: &Config) -> (tempfile::TempDir, Network) {
    let (dir, claim) = claim();
    (dir, Network::setup(CELL, &claim, config).unwrap())
}

/// A namespace outside of the host with a public and a private address, and routes both ways.
fn world() -> OwnedFd {
    let here = current_namespace().unwrap();
    netns::unshare_network().unwrap();
    let (there, socket) = (current_namespace().unwrap(), Socket::route().unwrap());
    let kind = Some(LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(here.as_fd(), kind).unwrap();
    let route = Socket::route().unwrap();
    let mut batch = Batch::new();
    let pair = Pair {
        name: "up0",
        mac: mac(UPLINK),
        group: 0,
        peer_name: "down0",
        peer_mac: mac(WORLD),
        peer_namespace: there.as_fd(),
    };
    link::make_pair(&mut batch, &pair);
    link::get(&mut batch, "up0");
    let made = route.run(&batch).unwrap();
    let made = made.iter().find_map(|answer| link::parse(&answer.body)).unwrap();
    let mut batch = Batch::new();
    link::up(&mut batch, made.index, &[]);
    link::address(&mut batch, made.index, UPLINK, Scope::Everywhere);
    link::route(&mut batch, made.index, WORLD, UPLINK);
    link::default_route(&mut batch, made.index, WORLD);
    route.run(&batch).unwrap();
    let mut batch = Batch::new();
    link::up(&mut batch, made.peer, &[]);
    link::address(&mut batch, made.peer, WORLD, Scope::Everywhere);
    link::address(&mut batch, made.peer, PRIVATE, Scope::Everywhere);
    link::default_route(&mut batch, made.peer, UPLINK);
    socket.run(&batch).unwrap();
    there
}

fn udp(address: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((address, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

fn is_empty(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    socket.recv_from(&mut [0; 64]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn links() -> Vec<String> {
    let all = link::list(&Socket::route().unwrap()).unwrap();
    all.into_iter().map(|link| link.name).filter(|name| name.starts_with("eb")).collect()
}

#[test]
fn the_host_reaches_an_instance_and_gets_its_answer() {
    in_own_host(|| {
        let (_dir, mut network) = network(&Config::default());
        let one = network.prepare(7).unwrap();
        assert_eq!(one.link, "eb0a1b2c007");
        assert_eq!(one.address, Ipv4Addr::new(100, 64, 0, 9));
        let listener = inside(&one.netns, || TcpListener::bind("0.0.0.0:80").unwrap());
        let server = thread::spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            stream.write_all(b"hello").unwrap();
            from
        });
        let mut stream = TcpStream::connect((one.address, 80)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(server.join().unwrap().ip(), network.host_address());
    });
}

#[test]
fn an_instance_reaches_the_world_with_the_hosts_address_but_no_private_network() {
    in_own_host(|| {
        let world = world();
        let (_dir, mut network) = network(&Config::default());
        let one = network.prepare(0).unwrap();
        let (public, private, mail) =
            inside(&world, || (udp(WORLD, 99), udp(PRIVATE, 99), udp(WORLD, 25)));
        let answer = thread::spawn(move || {
            let (text, from) = receive(&public);
            public.send_to(b"answer", from).unwrap();
            (text, from)
        });
        let text = inside(&one.netns, || {
            let socket = udp(Ipv4Addr::UNSPECIFIED, 0);
            socket.send_to(b"private", (PRIVATE, 99)).unwrap();
            socket.send_to(b"public", (WORLD, 99)).unwrap();
            receive(&socket).0
        });
        assert_eq!(text, b"answer");
        let (text, from) = answer.join().unwrap();
        assert_eq!((text.as_slice(), from.ip()), (b"public".as_slice(), UPLINK.into()));
        assert!(is_empty(&private));
        // Port 25 is closed for TCP only: nothing but mail speaks there, and mail is TCP.
        drop(mail);
    });
}

#[test]
fn an_allowed_private_network_is_reached() {
    in_own_host(|| {
        let world = world();
        let (_dir, mut network) = network(&Config { allowed: vec![(PRIVATE, 24)] });
        let one = network.prepare(0).unwrap();
        // The way back from the private address goes through the world's default route.
        let private = inside(&world, || udp(PRIVATE, 99));
        inside(&one.netns, || {
            udp(Ipv4Addr::UNSPECIFIED, 0).send_to(b"private", (PRIVATE, 99)).unwrap();
        });
        assert_eq!(receive(&private).0, b"private");
    });
}

#[test]
fn the_host_and_other_instances_are_closed_except_for_names() {
    in_own_host(|| {
        let (_dir, mut network) = network(&Config::default());
        let (one, two) = (network.prepare(0).unwrap(), network.prepare(1).unwrap());
        let host = network.host_address();
        let (closed, names) = (udp(host, 5353), udp(host, 53));
        let names_tcp = TcpListener::bind((host, 53)).unwrap();
        let other = inside(&two.netns, || udp(Ipv4Addr::UNSPECIFIED, 99));
        let other_address = two.address;
        inside(&one.netns, move || {
            let socket = udp(Ipv4Addr::UNSPECIFIED, 0);
            socket.send_to(b"closed", (host, 5353)).unwrap();
            socket.send_to(b"other", (other_address, 99)).unwrap();
            socket.send_to(b"names", (host, 53)).unwrap();
            TcpStream::connect((host, 53)).unwrap();
        });
        assert_eq!(receive(&names).0, b"names");
        names_tcp.accept().unwrap();
        assert!(is_empty(&closed));
        assert!(is_empty(&other));
        // The host itself reaches what it likes.
        udp(host, 0).send_to(b"host", (other_address, 99)).unwrap();
        other.set_nonblocking(false).unwrap();
        assert_eq!(receive(&other).0, b"host");
    });
}

#[test]
fn a_forged_source_address_is_dropped() {
    in_own_host(|| {
        let (_dir, mut network) = network(&Config::default());
        let (one, two) = (network.prepare(0).unwrap(), network.prepare(1).unwrap());
        let host = network.host_address();
        let names = udp(host, 53);
        for forged in [two.address, Ipv4Addr::new(8, 8, 8, 8), UPLINK] {
            inside(&one.netns, move || {
                let socket = Socket::route().unwrap();
                let eth0 = link::list(&socket).unwrap();
                let eth0 = eth0.iter().find(|link| link.name == INSIDE).unwrap().index;
                let mut batch = Batch::new();
                link::address(&mut batch, eth0, forged, Scope::Everywhere);
                socket.run(&batch).unwrap();
                udp(forged, 0).send_to(b"forged", (host, 53)).unwrap();
                udp(Ipv4Addr::UNSPECIFIED, 0).send_to(b"honest", (host, 53)).unwrap();
            });
            let (text, from) = receive(&names);
            assert_eq!((text.as_slice(), from.ip()), (b"honest".as_slice(), one.address.into()));
        }
    });
}

#[test]
fn nothing_from_outside_reaches_an_instance() {
    in_own_host(|| {
        let world = world();
        let (_dir, mut network) = network(&Config::default());
        let one = network.prepare(0).unwrap();
        let address = one.address;
        let server = inside(&one.netns, || udp(Ipv4Addr::UNSPECIFIED, 99));
        let uplink = udp(UPLINK, 99);
        inside(&world, move || {
            let socket = udp(WORLD, 0);
            socket.send_to(b"in", (address, 99)).unwrap();
            socket.send_to(b"host", (UPLINK, 99)).unwrap();
        });
        assert_eq!(receive(&uplink).0, b"host");
        assert!(is_empty(&server));
    });
}

#[test]
fn a_namespace_has_no_ipv6_and_lets_everybody_listen_on_low_ports() {
    in_own_host(|| {
        let (_dir, mut network) = network(&Config::default());
        let one = network.prepare(0).unwrap();
        let ipv6 = fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", one.link));
        assert_eq!(ipv6.unwrap_or_else(|_| "1".to_owned()).trim(), "1");
        let filter = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{}/rp_filter", one.link));
        assert_eq!(filter.unwrap().trim(), "1");
        inside(&one.netns, || {
            let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap();
            assert_eq!(read("ipv4/ip_unprivileged_port_start").trim(), "0");
            assert_eq!(read("ipv6/conf/eth0/disable_ipv6").trim(), "1");
            assert_eq!(fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap(), "");
            TcpListener::bind("127.0.0.1:0").unwrap();
        });
    });
}

#[test]
fn a_slot_in_use_is_refused_and_stays_and_nothing_is_left_at_the_end() {
    in_own_host(|| {
        let (_dir, mut network) = network(&Config::default());
        let one = network.prepare(3).unwrap();
        let error = network.prepare(3).unwrap_err();
        assert!(error.to_string().starts_with("making a link failed"), "{error}");
        assert_eq!(network.prepare(500).unwrap_err().code(), "HOST_EXHAUSTED");
        assert_eq!(links(), [&*one.link]);
        assert!(!network.is_free(3).unwrap());
        network.release(3).unwrap();
        network.release(3).unwrap();
        assert!(network.is_free(3).unwrap());
        assert!(links().is_empty());
        let again = network.prepare(3).unwrap();
        network.prepare(4).unwrap();
        drop(again);
        network.teardown().unwrap();
        assert!(links().is_empty());
        cleanup_leftovers(CELL).unwrap();
        assert!(cleanup_leftovers("../../").is_err());
    });
}

#[test]
fn a_second_setup_keeps_the_links_of_the_first() {
    in_own_host(|| {
        let (_dir, claim) = claim();
        // A namespace begins with what the machine has.
        set("ipv4/ip_forward", "0").unwrap();
        let mut first = Network::setup(CELL, &claim, &Config::default()).unwrap();
        assert!(first.forwarding_enabled());
        let one = first.prepare(0).unwrap();
        drop(first);
        let second = Network::setup(CELL, &claim, &Config::default()).unwrap();
        assert!(!second.forwarding_enabled());
        let names = udp(second.host_address(), 53);
        let host = second.host_address();
        inside(&one.netns, move || {
            udp(Ipv4Addr::UNSPECIFIED, 0).send_to(b"names", (host, 53)).unwrap();
        });
        assert_eq!(receive(&names).0, b"names");
        second.teardown().unwrap();
        assert!(links().is_empty());
    });
}

/// The kernel's own tool reads the table as it was meant.
#[test]
fn the_table_reads_as_written() {
    let listing = |arguments: &[&str]| {
        let output = Command::new("nft").args(arguments).output();
        output.ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if listing(&["--version"]).is_none() {
        println!("NOT RUN: the_table_reads_as_written: nft is not installed");
        return;
    }
    in_own_host(move || {
        let (_dir, network) = network(&Config { allowed: vec![(PRIVATE, 24)] });
        let json = listing(&["-j", "list", "table", "inet", "ebb_0a1b2c"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let count = |kind: &str| {
            let all = json["nftables"].as_array().unwrap();
            all.iter().filter(|object| object.get(kind).is_some()).count()
        };
        assert_eq!((count("chain"), count("set"), count("rule")), (5, 1, 15));
        let text = listing(&["list", "table", "inet", "ebb_0a1b2c"]).unwrap();
        expect(&text);
        network.teardown().unwrap();
        assert_eq!(listing(&["list", "tables"]).unwrap(), "");
    });
}

fn expect(text: &str) {
    for line in [
        "iifname \"eb0a1b2c*\" ip saddr != 100.64.0.0/16 drop",
        "iifname \"eb0a1b2c*\" ct state established,related accept",
        "iifname \"eb0a1b2c*\" ip daddr 100.64.0.1 udp dport 53 accept",
        "iifname \"eb0a1b2c*\" oifname \"eb0a1b2c*\" drop",
        "iifname \"eb0a1b2c*\" ip daddr @refused drop",
        "iifname \"eb0a1b2c*\" tcp dport 25 drop",
        "oifname \"eb0a1b2c*\" drop",
        "ip saddr 100.64.0.0/16 oifname != \"eb0a1b2c*\" masquerade",
        "10.0.0.0-10.9.8.255,",
        "10.9.10.0-10.255.255.255,",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// Prints what it takes; decides nothing.
#[test]
fn measure() {
    in_own_host(|| {
        let (_dir, mut network) = network(&Config::default());
        let clock = ebb_kit::SystemClock::new();
        let mut prepare = Vec::new();
        let mut release = Vec::new();
        for _ in 0..30 {
            let before = ebb_kit::Clock::now(&clock);
            let prepared = network.prepare(0).unwrap();
            let after = ebb_kit::Clock::now(&clock);
            prepare.push(after.since(before));
            drop(prepared);
            network.release(0).unwrap();
            release.push(ebb_kit::Clock::now(&clock).since(after));
        }
        let mut gone = Vec::new();
        for _ in 0..30 {
            drop(network.prepare(0).unwrap());
            let before = ebb_kit::Clock::now(&clock);
            while !network.is_free(0).unwrap() {
                thread::yield_now();
            }
            gone.push(ebb_kit::Clock::now(&clock).since(before));
        }
        gone.sort_unstable();
        println!("gone by itself p50 {:?} max {:?}", gone[15], gone[29]);
        prepare.sort_unstable();
        release.sort_unstable();
        println!("prepare p50 {:?} max {:?}", prepare[15], prepare[29]);
        println!("release p50 {:?} max {:?}", release[15], release[29]);
    });
}
