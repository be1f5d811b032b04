//! Where configurations come from. The only part of the room that touches the world.

pub mod loader;
