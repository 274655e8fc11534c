//! The annotations that the agent knows, all of one domain.

/// On the Image: accepts what the guard would refuse, for the one configuration whose digest is
/// its value (rule H8).
pub const ACCEPT_LOCKOUT: &str = "image-config-agent.io/accept-lockout";
