//! The planes.
