//! What the lab must know of a configuration: the VIP, the timers, the services, the checks.
//!
//! Not the parser of the project: a scan for a dozen keywords that trusts the file. The daemon under test
//! reads the same file in full, and complains in full.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::base::{AdvertInterval, Cidr, IfName, Priority};

/// Real servers of a lab at most.
pub const SERVERS_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub interface: IfName,
    pub vip: Ipv4Addr,
    pub advert_int: AdvertInterval,
    pub priority: Priority,
    pub tcp: Service,
    pub udp: Service,
    /// A frozen daemon is deaf (`vip_fence`).
    pub fenced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub port: u16,
    pub servers: Vec<Ipv4Addr>,
    pub check: CheckTiming,
    /// Both directors choose the same server for a client, without state (`lb_algo mh` or `sh`).
    pub by_hash: bool,
}

/// The timers of the checks of a service; where they differ, the last ones stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckTiming {
    pub delay_loop: Duration,
    pub connect_timeout: Duration,
    pub retry: u32,
    pub delay_before_retry: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    #[error("the configuration has no {what}, and the lab needs one")]
    Missing { what: &'static str },
    #[error("line {line}: `{word}` is not what {keyword} takes here")]
    Value { line: usize, keyword: &'static str, word: String },
    #[error("line {line}: the lab's hosts share one network, which takes `lb_kind DR`, not {got}")]
    Kind { line: usize, got: String },
    #[error("the configuration has {got} real servers, and the lab has {most} at most")]
    Servers { got: usize, most: usize },
}

impl Facts {
    /// Scan a configuration.
    ///
    /// # Errors
    /// [`FactsError`] where it lacks an IPv4 VIP, a DR service over TCP or one over UDP.
    pub fn scan(text: &str) -> Result<Self, FactsError> {
        let mut scan = Scan::default();
        for (index, line) in text.lines().enumerate() {
            scan.line(index + 1, line)?;
        }
        scan.finish()
    }

    /// Every real server of the configuration once, in its order.
    pub fn servers(&self) -> Vec<Ipv4Addr> {
        let mut all = self.tcp.servers.clone();
        all.extend(self.udp.servers.iter().filter(|server| !self.tcp.servers.contains(server)));
        all
    }
}

impl CheckTiming {
    /// keepalived's defaults for a check that says nothing (`check_api.c`).
    const DEFAULT: Self = Self {
        delay_loop: Duration::from_mins(1),
        connect_timeout: Duration::from_secs(5),
        retry: 1,
        delay_before_retry: Duration::from_secs(1),
    };

    /// From the death of a real server until its check has failed for good: one period until the next try,
    /// `retry` more tries, and each try may use its whole time.
    pub fn detection(self) -> Duration {
        self.delay_loop + self.delay_before_retry * self.retry + self.connect_timeout * (self.retry + 1)
    }

    /// From the return of a real server until its check has passed.
    pub fn recovery(self) -> Duration {
        self.delay_loop + self.connect_timeout
    }
}

/// A `virtual_server` while it is read.
#[derive(Debug)]
struct Draft {
    port: u16,
    udp: bool,
    servers: Vec<Ipv4Addr>,
    check: CheckTiming,
    by_hash: bool,
}

#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    /// The depth inside `virtual_ipaddress`, while in it.
    addresses: Option<usize>,
    interface: Option<IfName>,
    vip: Option<Cidr>,
    advert_int: Option<AdvertInterval>,
    priority: Option<Priority>,
    services: Vec<Draft>,
    fenced: Option<bool>,
    by_ipvs: bool,
}

impl Scan {
    fn line(&mut self, number: usize, line: &str) -> Result<(), FactsError> {
        let line = line.split(['#', '!']).next().unwrap_or_default();
        // A brace ends a statement wherever it stands.
        for statement in line.split_inclusive(['{', '}']) {
            let mut words = statement.trim_end_matches(['{', '}']).split_whitespace();
            if let Some(keyword) = words.next() {
                self.statement(number, keyword, words.next(), words.next())?;
            }
            if statement.ends_with('{') {
                self.depth += 1;
            }
            if statement.ends_with('}') {
                self.depth = self.depth.saturating_sub(1);
                self.addresses = self.addresses.filter(|&depth| self.depth >= depth);
            }
        }
        Ok(())
    }

    fn statement(
        &mut self,
        line: usize,
        keyword: &str,
        argument: Option<&str>,
        second: Option<&str>,
    ) -> Result<(), FactsError> {
        if self.addresses.is_some_and(|depth| self.depth >= depth) {
            if self.vip.is_none() {
                self.vip = Some(parse(line, "virtual_ipaddress", keyword)?);
            }
        } else if keyword == "virtual_ipaddress" {
            self.addresses = Some(self.depth + 1);
        } else if let Some(argument) = argument {
            self.keyword(line, keyword, argument, second.unwrap_or_default())?;
        }
        Ok(())
    }

    fn keyword(&mut self, line: usize, keyword: &str, argument: &str, second: &str) -> Result<(), FactsError> {
        match keyword {
            "interface" => self.interface = Some(parse(line, "interface", argument)?),
            "priority" => {
                let priority = parse(line, "priority", argument)?;
                let wrong = |_| FactsError::Value { line, keyword: "priority", word: argument.to_owned() };
                self.priority = Some(Priority::new(priority).map_err(wrong)?);
            }
            "advert_int" => {
                let wrong = || FactsError::Value { line, keyword: "advert_int", word: argument.to_owned() };
                let centis = seconds(line, "advert_int", argument)?.as_millis() / 10;
                let centis = u16::try_from(centis).map_err(|_| wrong())?;
                self.advert_int = Some(AdvertInterval::from_centis(centis).map_err(|_| wrong())?);
            }
            "vip_fence" => self.fenced = Some(!["false", "no", "off"].contains(&argument)),
            "lvs_datapath" => self.by_ipvs = argument == "ipvs",
            "virtual_server" => {
                let port = parse(line, "virtual_server", second)?;
                let check = CheckTiming::DEFAULT;
                self.services.push(Draft { port, udp: true, servers: vec![], check, by_hash: false });
            }
            _ => {
                if let Some(service) = self.services.last_mut() {
                    service.keyword(line, keyword, argument)?;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Facts, FactsError> {
        let pick = |udp: bool, what| {
            let draft = self.services.iter().find(|service| service.udp == udp && !service.servers.is_empty());
            let service = |Draft { port, udp: _, servers, check, by_hash }: &Draft| Service {
                port: *port,
                servers: servers.clone(),
                check: *check,
                by_hash: *by_hash,
            };
            draft.map(service).ok_or(FactsError::Missing { what })
        };
        let (tcp, udp) = (pick(false, "virtual_server over TCP")?, pick(true, "virtual_server over UDP")?);
        let vip = match self.vip.map(Cidr::addr) {
            Some(IpAddr::V4(vip)) => vip,
            Some(IpAddr::V6(_)) | None => return Err(FactsError::Missing { what: "IPv4 VIP" }),
        };
        let facts = Facts {
            interface: self.interface.ok_or(FactsError::Missing { what: "interface" })?,
            vip,
            advert_int: self.advert_int.unwrap_or(AdvertInterval::DEFAULT),
            priority: self.priority.unwrap_or(Priority::DEFAULT),
            tcp,
            udp,
            fenced: self.fenced.unwrap_or(!self.by_ipvs),
        };
        match facts.servers().len() {
            got if got > SERVERS_MAX => Err(FactsError::Servers { got, most: SERVERS_MAX }),
            _ => Ok(facts),
        }
    }
}

impl Draft {
    fn keyword(&mut self, line: usize, keyword: &str, argument: &str) -> Result<(), FactsError> {
        let check = &mut self.check;
        match keyword {
            "protocol" => self.udp = !argument.eq_ignore_ascii_case("tcp"),
            "lb_algo" | "lvs_sched" => self.by_hash = ["mh", "sh"].contains(&argument),
            "lb_kind" | "lvs_method" if argument != "DR" => {
                return Err(FactsError::Kind { line, got: argument.to_owned() });
            }
            "real_server" => match parse(line, "real_server", argument)? {
                IpAddr::V4(addr) => self.servers.push(addr),
                IpAddr::V6(_) => {
                    return Err(FactsError::Value { line, keyword: "real_server", word: argument.to_owned() });
                }
            },
            "delay_loop" => check.delay_loop = seconds(line, "delay_loop", argument)?,
            "connect_timeout" => check.connect_timeout = seconds(line, "connect_timeout", argument)?,
            "retry" | "nb_get_retry" => check.retry = parse(line, "retry", argument)?,
            "delay_before_retry" => check.delay_before_retry = seconds(line, "delay_before_retry", argument)?,
            _ => {}
        }
        Ok(())
    }
}

fn parse<T: std::str::FromStr>(line: usize, keyword: &'static str, word: &str) -> Result<T, FactsError> {
    word.parse().map_err(|_| FactsError::Value { line, keyword, word: word.to_owned() })
}

fn seconds(line: usize, keyword: &'static str, word: &str) -> Result<Duration, FactsError> {
    let wrong = || FactsError::Value { line, keyword, word: word.to_owned() };
    Duration::try_from_secs_f64(parse(line, keyword, word)?).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: &str = include_str!("../../conf/pair-master.conf");

    #[test]
    fn the_example_says_what_the_lab_needs() {
        let facts = Facts::scan(PAIR).unwrap();
        assert_eq!(facts.interface.as_str(), "eth0");
        assert_eq!(facts.vip, Ipv4Addr::new(10, 77, 0, 100));
        assert_eq!((facts.advert_int.centis(), facts.priority.get()), (10, 150));
        assert_eq!((facts.tcp.port, facts.udp.port), (80, 7));
        let expected: Vec<Ipv4Addr> = (11..=13).map(|host| Ipv4Addr::new(10, 77, 0, host)).collect();
        assert_eq!((&facts.tcp.servers, &facts.udp.servers), (&expected, &expected));
        assert_eq!(facts.tcp.check.detection(), Duration::from_millis(3500));
        assert_eq!(facts.tcp.check.recovery(), Duration::from_secs(2));
        assert!(facts.fenced);
    }

    #[test]
    fn the_fence_goes_with_the_plane_unless_it_is_named() {
        let rows = [("lvs_datapath ipvs", false), ("vip_fence no", false), ("lvs_datapath ipvs\nvip_fence on", true)];
        for (lines, fenced) in rows {
            let text = format!("global_defs {{\n{lines}\n}}\n{}", PAIR.replace("lvs_datapath", "# lvs_datapath"));
            assert_eq!(Facts::scan(&text).unwrap().fenced, fenced, "{lines}");
        }
    }

    #[test]
    fn what_the_lab_cannot_build_is_named() {
        let rows = [
            ("no VIP", PAIR.replace("10.77.0.100/24", ""), FactsError::Missing { what: "IPv4 VIP" }),
            (
                "no UDP",
                PAIR.replace("protocol UDP", "protocol TCP"),
                FactsError::Missing { what: "virtual_server over UDP" },
            ),
            (
                "too slow",
                PAIR.replace("advert_int 0.1", "advert_int 0"),
                FactsError::Value { line: line_of("advert_int 0.1"), keyword: "advert_int", word: "0".to_owned() },
            ),
            (
                "NAT",
                PAIR.replacen("lb_kind DR", "lb_kind NAT", 1),
                FactsError::Kind { line: line_of("lb_kind DR"), got: "NAT".to_owned() },
            ),
        ];
        for (name, text, error) in rows {
            assert_eq!(Facts::scan(&text), Err(error), "{name}");
        }
    }

    #[test]
    fn braces_and_comments_do_not_confuse_the_scan() {
        let rows = [
            ("brace on the next line", PAIR.replace("virtual_ipaddress {", "virtual_ipaddress\n{")),
            ("comment behind", PAIR.replace("virtual_ipaddress {", "virtual_ipaddress { # the VIP")),
            ("one line", PAIR.replace("virtual_ipaddress {", "virtual_ipaddress { 10.77.0.100/24 }\nother {")),
            ("CRLF", PAIR.replace('\n', "\r\n")),
        ];
        for (name, text) in rows {
            assert_eq!(Facts::scan(&text), Facts::scan(PAIR), "{name}");
        }
    }

    fn line_of(needle: &str) -> usize {
        PAIR.lines().position(|line| line.trim_start().starts_with(needle)).unwrap() + 1
    }
}
