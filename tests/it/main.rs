//! One integration binary: each module tests one part through its public interface.

mod store;
