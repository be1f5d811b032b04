//! The kinds of blocks, by what may stand in them.

/// A kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// The file itself, outside of all blocks.
    Top,
    GlobalDefs,
    Ssl,
    TrackGroup,
    SyncGroup,
    GarpGroup,
    Instance,
    Authentication,
    AuthHmac,
    Script,
    TrackFile,
    TrackProcess,
    Bfd,
    VirtualServer,
    RealServer,
    TcpCheck,
    HttpGet,
    SslGet,
    Url,
    MiscCheck,
    SmtpCheck,
    SmtpHost,
    DnsCheck,
    UdpCheck,
    PingCheck,
    AgentCheck,
    GrpcCheck,
    FileCheck,
    BfdCheck,
    /// Lines of `virtual_ipaddress`, `virtual_ipaddress_excluded` and `static_ipaddress`.
    Addresses,
    /// Lines of `virtual_routes` and `static_routes`.
    Routes,
    /// Lines of `virtual_rules` and `static_rules`.
    Rules,
    /// Lines of `virtual_server_group`.
    ServiceAddresses,
    /// Lines of `unicast_peer`.
    Peers,
    /// Lines of `track_interface`, `track_script` and the like.
    Trackers,
    /// Names, mail addresses, interfaces: several on a line.
    Names,
    /// Lines of `local_address_group`.
    LocalAddresses,
}

/// How a block is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    Keywords,
    /// Free lines of this form; keywords, where the table has some, stand inside the line.
    Lines(&'static str),
}

impl Context {
    pub const ALL: [Self; 37] = [
        Self::Top,
        Self::GlobalDefs,
        Self::Ssl,
        Self::TrackGroup,
        Self::SyncGroup,
        Self::GarpGroup,
        Self::Instance,
        Self::Authentication,
        Self::AuthHmac,
        Self::Script,
        Self::TrackFile,
        Self::TrackProcess,
        Self::Bfd,
        Self::VirtualServer,
        Self::RealServer,
        Self::TcpCheck,
        Self::HttpGet,
        Self::SslGet,
        Self::Url,
        Self::MiscCheck,
        Self::SmtpCheck,
        Self::SmtpHost,
        Self::DnsCheck,
        Self::UdpCheck,
        Self::PingCheck,
        Self::AgentCheck,
        Self::GrpcCheck,
        Self::FileCheck,
        Self::BfdCheck,
        Self::Addresses,
        Self::Routes,
        Self::Rules,
        Self::ServiceAddresses,
        Self::Peers,
        Self::Trackers,
        Self::Names,
        Self::LocalAddresses,
    ];

    /// The keyword that opens it, with the block around it where the keyword alone says too little.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Top => "the top level",
            Self::GlobalDefs => "`global_defs`",
            Self::Ssl => "`SSL`",
            Self::TrackGroup => "`track_group`",
            Self::SyncGroup => "`vrrp_sync_group`",
            Self::GarpGroup => "`garp_group`",
            Self::Instance => "`vrrp_instance`",
            Self::Authentication => "`authentication`",
            Self::AuthHmac => "`auth_hmac`",
            Self::Script => "`vrrp_script`",
            Self::TrackFile => "`track_file`",
            Self::TrackProcess => "`vrrp_track_process`",
            Self::Bfd => "`bfd_instance`",
            Self::VirtualServer => "`virtual_server`",
            Self::RealServer => "`real_server`",
            Self::TcpCheck => "`TCP_CHECK`",
            Self::HttpGet => "`HTTP_GET`",
            Self::SslGet => "`SSL_GET`",
            Self::Url => "`url`",
            Self::MiscCheck => "`MISC_CHECK`",
            Self::SmtpCheck => "`SMTP_CHECK`",
            Self::SmtpHost => "`host` of `SMTP_CHECK`",
            Self::DnsCheck => "`DNS_CHECK`",
            Self::UdpCheck => "`UDP_CHECK`",
            Self::PingCheck => "`PING_CHECK`",
            Self::AgentCheck => "`AGENT_CHECK`",
            Self::GrpcCheck => "`GRPC_CHECK`",
            Self::FileCheck => "`FILE_CHECK`",
            Self::BfdCheck => "`BFD_CHECK`",
            Self::Addresses => "`virtual_ipaddress`",
            Self::Routes => "`virtual_routes`",
            Self::Rules => "`virtual_rules`",
            Self::ServiceAddresses => "`virtual_server_group`",
            Self::Peers => "`unicast_peer`",
            Self::Trackers => "a block of trackers",
            Self::Names => "a list of names",
            Self::LocalAddresses => "`local_address_group`",
        }
    }

    /// As part of a sentence: `` inside `url` ``, `at the top level`.
    pub fn place(self) -> String {
        if self == Self::Top { "at the top level".to_owned() } else { format!("inside {}", self.name()) }
    }

    pub const fn holds(self) -> Holds {
        match self {
            Self::Addresses => Holds::Lines("ADDRESS[/PREFIX] [OPTION...]"),
            Self::Routes => Holds::Lines("[TYPE] [to] PREFIX|default [OPTION...], as for `ip route add`"),
            Self::Rules => Holds::Lines("[not] SELECTOR... ACTION, as for `ip rule add`"),
            Self::ServiceAddresses => {
                Holds::Lines("ADDRESS[-LAST | -ADDRESS | /MASK] [PORT], or fwmark INT [inet|inet6]")
            }
            Self::Peers => Holds::Lines("ADDRESS [min_ttl INT] [max_ttl INT]"),
            Self::Trackers => Holds::Lines("NAME [weight INT [reverse|noreverse]]"),
            Self::Names => Holds::Lines("NAME..."),
            Self::LocalAddresses => Holds::Lines("ADDRESS[-ADDRESS] [IFNAME]"),
            Self::Top
            | Self::GlobalDefs
            | Self::Ssl
            | Self::TrackGroup
            | Self::SyncGroup
            | Self::GarpGroup
            | Self::Instance
            | Self::Authentication
            | Self::AuthHmac
            | Self::Script
            | Self::TrackFile
            | Self::TrackProcess
            | Self::Bfd
            | Self::VirtualServer
            | Self::RealServer
            | Self::TcpCheck
            | Self::HttpGet
            | Self::SslGet
            | Self::Url
            | Self::MiscCheck
            | Self::SmtpCheck
            | Self::SmtpHost
            | Self::DnsCheck
            | Self::UdpCheck
            | Self::PingCheck
            | Self::AgentCheck
            | Self::GrpcCheck
            | Self::FileCheck
            | Self::BfdCheck => Holds::Keywords,
        }
    }
}
