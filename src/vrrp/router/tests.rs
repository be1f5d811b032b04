//! The state machine, row by row.
