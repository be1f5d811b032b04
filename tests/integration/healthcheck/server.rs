//! Servers that say exactly what a row of a table tells them, to every client.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How the server ends its side.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Close,
    /// Say no more and wait for the client to go.
    Hold,
    Reset,
    /// One more byte now and then, until the client goes.
    Drip,
}

/// A server on a loopback port of the kernel's choice.
#[derive(Debug)]
pub struct Server {
    pub addr: SocketAddr,
    /// What each client sent, up to the empty line.
    pub requests: UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answer each request with `reply`.
    pub async fn replying(reply: Vec<u8>, end: End) -> Self {
        Self::on("127.0.0.1:0", reply, end).await
    }

    pub async fn on(addr: &str, reply: Vec<u8>, end: End) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, requests) = unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                let (sender, reply) = (sender.clone(), reply.clone());
                tokio::spawn(async move {
                    let mut client = client;
                    sender.send(request(&mut client).await).ok();
                    if client.write_all(&reply).await.is_ok() {
                        finish(client, end).await;
                    }
                });
            }
        });
        Self { addr, requests, task }
    }

    /// Stop listening: the port refuses from now on.
    pub async fn stop(self) {
        self.task.abort();
        self.task.await.ok();
    }
}

async fn request(client: &mut TcpStream) -> String {
    let mut read = vec![];
    let mut piece = [0; 1024];
    while !read.ends_with(b"\r\n\r\n") {
        match client.read(&mut piece).await {
            Ok(count) if count > 0 => read.extend(&piece[..count]),
            Ok(_) | Err(_) => break,
        }
    }
    String::from_utf8(read).unwrap()
}

async fn finish(mut client: TcpStream, end: End) {
    match end {
        End::Close => {}
        End::Reset => client.set_zero_linger().unwrap(),
        End::Hold => {
            client.read_u8().await.ok();
        }
        End::Drip => {
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
