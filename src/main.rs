//! The command line of image-config-agent.

fn main() {}
