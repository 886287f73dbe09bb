//! Delivery by SFTP: the adapter `sftp` with its own package layout, and [`Remote`], the transport
//! that other methods over SFTP use as well.

mod acknowledgement;
mod adapter;
mod endpoint;
mod feed;
mod layout;
mod pool;
mod remote;
mod session;
mod transfer;
mod window;

pub use adapter::SftpAdapter;
pub use layout::Layout;
pub use remote::{Entry, Marker, Remote, Transferred};
