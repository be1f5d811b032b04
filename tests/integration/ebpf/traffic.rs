//! Servers that say who they are, and clients that ask them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use crate::lab::{DEADLINE, Host};

/// TCP: one byte of command per request. `w`: who are you (one byte). `u` and 8 bytes of length, then so many bytes:
/// the sum of them comes back. `d` and 8 bytes of length: so many bytes come back.
pub fn serve_tcp(host: &Host, number: u8, addr: IpAddr, port: u16) -> u16 {
    let listener = host.run(|| TcpListener::bind((addr, port)).expect("binding a server"));
    let port = listener.local_addr().expect("a bound socket").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || answer(stream, number));
        }
    });
    port
}

fn answer(mut stream: TcpStream, number: u8) -> std::io::Result<()> {
    loop {
        let mut command = [0];
        stream.read_exact(&mut command)?;
        match command[0] {
            b'w' => stream.write_all(&[number])?,
            b'u' => {
                let sum = take(&mut stream)?;
                stream.write_all(&sum.to_be_bytes())?;
            }
            b'd' => {
                let mut length = [0; 8];
                stream.read_exact(&mut length)?;
                give(&mut stream, u64::from_be_bytes(length))?;
            }
            other => panic!("unknown command {other}"),
        }
    }
}

const BLOCK: usize = 64 * 1024;

fn byte_at(position: u64) -> u8 {
    (position.wrapping_mul(2_654_435_761) >> 13) as u8
}

fn give(stream: &mut TcpStream, length: u64) -> std::io::Result<u64> {
    let (mut at, mut sum) = (0, 0u64);
    while at < length {
        let size = u64::min(BLOCK as u64, length - at);
        let block: Vec<u8> = (at..at + size).map(byte_at).collect();
        sum = block.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        stream.write_all(&block)?;
        at += size;
    }
    Ok(sum)
}

fn take(stream: &mut TcpStream) -> std::io::Result<u64> {
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    take_exactly(stream, u64::from_be_bytes(length))
}

fn take_exactly(stream: &mut TcpStream, length: u64) -> std::io::Result<u64> {
    let (mut left, mut sum) = (length, 0u64);
    let mut block = vec![0; BLOCK];
    while left > 0 {
        let room = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        let got = stream.read(&mut block[..room])?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        sum = block[..got].iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        left -= got as u64;
    }
    Ok(sum)
}

/// What [`give`] sends, summed.
fn sum_of(length: u64) -> u64 {
    (0..length).map(byte_at).fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

pub fn connect(host: &Host, to: (impl Into<IpAddr>, u16)) -> std::io::Result<TcpStream> {
    let to = SocketAddr::new(to.0.into(), to.1);
    let stream = host.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// The number of the server at the other end.
pub fn who(stream: &mut TcpStream) -> std::io::Result<u8> {
    let mut answer = [0];
    stream.write_all(b"w")?;
    stream.read_exact(&mut answer)?;
    Ok(answer[0])
}

/// Send so many bytes; they arrive unharmed.
pub fn upload(stream: &mut TcpStream, length: u64) {
    stream.write_all(b"u").unwrap();
    stream.write_all(&length.to_be_bytes()).unwrap();
    let sent = give(stream, length).unwrap();
    let mut got = [0; 8];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(u64::from_be_bytes(got), sent, "{length} bytes up");
}

/// Fetch so many bytes; they arrive unharmed.
pub fn download(stream: &mut TcpStream, length: u64) {
    stream.write_all(b"d").unwrap();
    stream.write_all(&length.to_be_bytes()).unwrap();
    assert_eq!(take_exactly(stream, length).unwrap(), sum_of(length), "{length} bytes down");
}

/// Connections one after another, all kept: how many each server got.
pub fn connect_many(host: &Host, to: (impl Into<IpAddr>, u16), count: usize) -> (BTreeMap<u8, usize>, Vec<TcpStream>) {
    let to = (to.0.into(), to.1);
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(host, to).unwrap()).collect();
    let mut shares = BTreeMap::new();
    for stream in &mut streams {
        *shares.entry(who(stream).unwrap()).or_default() += 1;
    }
    (shares, streams)
}

/// UDP: the answer is the number, then the datagram.
pub fn serve_udp(host: &Host, number: u8, addr: IpAddr, port: u16) -> u16 {
    let socket = host.run(|| UdpSocket::bind((addr, port)).expect("binding a server"));
    let port = socket.local_addr().expect("a bound socket").port();
    thread::spawn(move || {
        let mut block = vec![0; 65_536];
        while let Ok((size, from)) = socket.recv_from(&mut block) {
            let mut answer = vec![number];
            answer.extend_from_slice(&block[..size]);
            let _ = socket.send_to(&answer, from);
        }
    });
    port
}

/// A UDP client with a port of its own.
pub fn udp(host: &Host, to: (impl Into<IpAddr>, u16)) -> UdpSocket {
    let to = SocketAddr::new(to.0.into(), to.1);
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    host.run(|| {
        let socket = UdpSocket::bind((any, 0)).expect("binding a client");
        socket.connect(to).expect("connecting a datagram socket");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        socket
    })
}

/// Send a datagram of so many bytes; the number of the server that sent it back unharmed.
pub fn exchange(socket: &UdpSocket, size: usize) -> std::io::Result<u8> {
    let question: Vec<u8> = (0..size as u64).map(byte_at).collect();
    let mut answer = vec![0; 65_536];
    socket.send(&question)?;
    let got = socket.recv(&mut answer)?;
    assert_eq!(&answer[1..got], question, "{size} bytes");
    Ok(answer[0])
}
