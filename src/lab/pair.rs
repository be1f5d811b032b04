//! The lab of a pair: a switch, a client, two directors, their real servers. Dropping it takes all of it down.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use super::director::{Daemon, Director};
use super::error::LabError;
use super::facts::Facts;
use super::host::Host;
use super::leftovers::Directory;
use super::server::{Listen, Server};
use super::switch::Switch;

/// Addresses that the client asks from: a scheduler that hashes the source spreads them over the real servers.
pub const SOURCES: u8 = 16;
/// All hosts of a lab share the /24 of the VIP.
const PREFIX: u8 = 24;
const CLIENT: u8 = 10;
const FIRST_SOURCE: u8 = 201;

/// Which of the two directors; `A` is the preferred master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seat {
    A,
    B,
}

impl Seat {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The name of the host.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The last byte of its own address.
    const fn address(self) -> u8 {
        match self {
            Self::A => 2,
            Self::B => 3,
        }
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who answers for the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// The real servers; the directors forward.
    Forwarded,
    /// The directors themselves, each with its own name: shows who has the VIP, needs no forwarding plane.
    OnDirectors,
}

/// What [`Lab::pair`] builds. `a` is the preferred master, and the facts are those of its configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    pub facts: Facts,
    pub config_a: String,
    pub config_b: String,
    pub daemon_a: Daemon,
    pub daemon_b: Daemon,
    pub services: Services,
}

/// A pair in its lab. Fields go down in this order: processes, hosts, the switch, the directory.
#[derive(Debug)]
pub struct Lab {
    on_directors: Vec<Server>,
    servers: Vec<RealServer>,
    director_a: Director,
    director_b: Director,
    client: Host,
    switch: Switch,
    facts: Facts,
    config_a: String,
    config_b: String,
    _directory: Directory,
}

impl Lab {
    /// Build it, real servers answering, the daemons of the directors not started.
    ///
    /// Names of the hosts: `client`, `a` and `b` (the directors), `s1`, `s2`, ... (the real servers).
    pub fn pair(setup: &Setup) -> Result<Self, LabError> {
        let switch = Switch::new()?;
        let directory = Directory::make(switch.prefix())?;
        let facts = &setup.facts;
        let client = host_with(&switch, "client", facts, CLIENT)?;
        for source in 0..SOURCES {
            client.add_address(
                beside(facts.vip, FIRST_SOURCE.saturating_add(source)),
                PREFIX,
                facts.interface.as_str(),
            )?;
        }
        let director = |seat: Seat, config: &str, daemon: &Daemon| {
            let host = host_with(&switch, seat.name(), facts, seat.address())?;
            host.sysctl("net/ipv4/ip_forward", "1")?;
            Director::new(host, daemon.clone(), config, directory.path().join(seat.name()))
        };
        let director_a = director(Seat::A, &setup.config_a, &setup.daemon_a)?;
        let director_b = director(Seat::B, &setup.config_b, &setup.daemon_b)?;
        let (mut on_directors, mut servers) = (vec![], vec![]);
        match setup.services {
            Services::OnDirectors => {
                for director in [&director_a, &director_b] {
                    let listen = listen(facts, None);
                    on_directors.push(Server::start(director.host(), director.name(), &listen)?);
                }
            }
            Services::Forwarded => {
                for (index, addr) in facts.servers().into_iter().enumerate() {
                    let mut server = RealServer::new(&switch, &format!("s{}", index + 1), facts, addr)?;
                    server.start()?;
                    servers.push(server);
                }
            }
        }
        Ok(Self {
            on_directors,
            servers,
            director_a,
            director_b,
            client,
            switch,
            facts: facts.clone(),
            config_a: setup.config_a.clone(),
            config_b: setup.config_b.clone(),
            _directory: directory,
        })
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn client(&self) -> &Host {
        &self.client
    }

    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    pub fn director(&self, seat: Seat) -> &Director {
        match seat {
            Seat::A => &self.director_a,
            Seat::B => &self.director_b,
        }
    }

    pub fn director_mut(&mut self, seat: Seat) -> &mut Director {
        match seat {
            Seat::A => &mut self.director_a,
            Seat::B => &mut self.director_b,
        }
    }

    pub fn servers(&self) -> &[RealServer] {
        &self.servers
    }

    /// The real server that answers as `name`.
    pub fn server_mut(&mut self, name: &str) -> Option<&mut RealServer> {
        self.servers.iter_mut().find(|server| server.name() == name)
    }

    /// Write the configuration of a director, with one more VIP that ends in `added`; the daemon is not told.
    pub fn configure(&self, seat: Seat, added: Option<u8>) -> Result<(), LabError> {
        let config = match seat {
            Seat::A => &self.config_a,
            Seat::B => &self.config_b,
        };
        let more = added.map(|byte| format!("{}/{PREFIX}", beside(self.facts.vip, byte)));
        self.director(seat).configure(&more.map_or_else(|| config.clone(), |more| with_address(config, &more)))
    }

    /// Whether a director has the address that ends in `last_byte`.
    pub fn has(&self, seat: Seat, last_byte: u8) -> Result<bool, LabError> {
        self.director(seat).host().has_address(IpAddr::V4(beside(self.facts.vip, last_byte)))
    }

    /// Kill the daemon of a director where one runs, take the VIP away, and start it.
    pub fn start_afresh(&mut self, seat: Seat) -> Result<(), LabError> {
        let (vip, interface) = (self.facts.vip, self.facts.interface.clone());
        let director = self.director_mut(seat);
        if director.is_running() {
            director.freeze(false)?;
            director.kill()?;
        }
        director.forget_pids();
        director.host().ip(&format!("address flush dev {interface} to {vip}/32"))?;
        self.configure(seat, None)?;
        self.director_mut(seat).start()
    }

    /// The interface of a director is gone, as when a card is pulled.
    pub fn unplug(&self, seat: Seat) -> Result<(), LabError> {
        self.switch.unplug(self.director(seat).host())
    }

    /// An interface with the same name, hardware address and address.
    pub fn plug(&self, seat: Seat, mac: &str) -> Result<(), LabError> {
        let host = self.director(seat).host();
        self.switch.plug(host)?;
        host.ip(&format!("link set dev {} address {mac}", host.interface()))?;
        host.add_address(beside(self.facts.vip, seat.address()), PREFIX, host.interface().as_str())?;
        host.set_link(true)
    }

    /// The hardware address of a director.
    pub fn mac(&self, seat: Seat) -> Result<String, LabError> {
        let mac = self.director(seat).host().mac()?;
        // Without an address nothing matches, and the timeline lacks a line; no reason to end a drill.
        Ok(mac.map(|octets| octets.map(|octet| format!("{octet:02x}")).join(":")).unwrap_or_default())
    }

    /// The address of a director that stays with it.
    pub fn address(&self, seat: Seat) -> Ipv4Addr {
        beside(self.facts.vip, seat.address())
    }

    /// Pull the cable of a director, or put it back.
    pub fn cable(&self, seat: Seat, up: bool) -> Result<(), LabError> {
        self.switch.port(self.director(seat).host(), up)
    }

    /// Whether the VIP is on an interface of the director.
    pub fn holds_vip(&self, seat: Seat) -> Result<bool, LabError> {
        self.director(seat).host().has_address(IpAddr::V4(self.facts.vip))
    }

    /// Addresses that the client asks from.
    pub fn sources(&self) -> Vec<Ipv4Addr> {
        (0..SOURCES).map(|source| beside(self.facts.vip, FIRST_SOURCE.saturating_add(source))).collect()
    }

    /// Names of the servers that run on the directors.
    pub fn on_directors(&self) -> impl Iterator<Item = &str> {
        self.on_directors.iter().map(Server::name)
    }
}

/// A host with a real server that can be stopped and started.
#[derive(Debug)]
pub struct RealServer {
    server: Option<Server>,
    host: Host,
    listen: Listen,
}

impl RealServer {
    fn new(switch: &Switch, name: &str, facts: &Facts, addr: Ipv4Addr) -> Result<Self, LabError> {
        let host = Host::on(switch, name, &facts.interface)?;
        // It has the VIP and does not tell anybody (DR).
        host.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
        host.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
        host.add_address(addr, PREFIX, facts.interface.as_str())?;
        host.add_address(facts.vip, 32, "lo")?;
        Ok(Self { server: None, host, listen: listen(facts, Some(addr)) })
    }

    pub fn name(&self) -> &str {
        self.host.role()
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Let it answer; no effect while it does.
    pub fn start(&mut self) -> Result<(), LabError> {
        if self.server.is_none() {
            self.server = Some(Server::start(&self.host, self.host.role(), &self.listen)?);
        }
        Ok(())
    }

    /// The death of its processes: connections are reset, ports closed; the host lives.
    pub fn stop(&mut self) {
        self.server = None;
    }
}

fn host_with(switch: &Switch, role: &str, facts: &Facts, last_byte: u8) -> Result<Host, LabError> {
    let host = Host::on(switch, role, &facts.interface)?;
    host.add_address(beside(facts.vip, last_byte), PREFIX, facts.interface.as_str())?;
    Ok(host)
}

fn listen(facts: &Facts, own: Option<Ipv4Addr>) -> Listen {
    let udp_addresses = own.into_iter().chain([facts.vip]).collect();
    Listen { tcp_port: facts.tcp.port, udp_port: facts.udp.port, udp_addresses }
}

/// The text with `address` as the first line of its first `virtual_ipaddress`.
fn with_address(config: &str, address: &str) -> String {
    let found = config.split_once("virtual_ipaddress").and_then(|(head, tail)| Some((head, tail.split_once('{')?)));
    let with = |(head, (blank, tail))| format!("{head}virtual_ipaddress{blank}{{\n        {address}{tail}");
    found.map_or_else(|| config.to_owned(), with)
}

/// The address in the network of the VIP that ends in `last_byte`.
fn beside(vip: Ipv4Addr, last_byte: u8) -> Ipv4Addr {
    let [first, second, third, _] = vip.octets();
    Ipv4Addr::new(first, second, third, last_byte)
}
