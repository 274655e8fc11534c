//! The annotations and labels that the agent knows, all of one domain.

/// What all their names begin with.
pub const DOMAIN: &str = "image-config-agent.io/";

/// On the Image: nothing but CA files is applied while it is `true` (rule K2).
pub const PAUSED: &str = "image-config-agent.io/paused";

/// On the Image: accepts what the guard would refuse, for the one configuration whose digest is
/// its value (rule H8).
pub const ACCEPT_LOCKOUT: &str = "image-config-agent.io/accept-lockout";

/// On a Node: the agent cordoned it, and may uncordon it (rule K4).
pub const CORDONED: &str = "image-config-agent.io/cordoned";

/// On a Node, by its administrator: the agent leaves it cordoned when it is done (rule K4).
pub const KEEP_CORDONED: &str = "image-config-agent.io/keep-cordoned";

/// On a Lease, as a label: the pool whose slot it is (rule K1).
pub const POOL: &str = "image-config-agent.io/pool";

/// On a Lease: the configuration that its holder is taking, by the digest without CAs (rule K1).
pub const TARGET: &str = "image-config-agent.io/target";

/// On a Node: the digest of the configuration that is applied there.
pub const APPLIED: &str = "image-config-agent.io/applied";
