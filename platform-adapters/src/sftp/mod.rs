//! Delivery by SFTP: the adapter `sftp` with its own package layout, and [`Remote`], the transport
//! that other methods over SFTP use as well.

mod acknowledgement;
mod adapter;
mod algorithms;
mod endpoint;
mod feed;
mod freight;
mod greeting;
mod layout;
mod offer;
mod pool;
mod remote;
mod session;
mod transfer;
mod upload;
mod window;

pub use adapter::SftpAdapter;
pub use greeting::HostKey;
pub use layout::Layout;
pub use remote::{Entry, Marker, Remote, Transferred, host_keys};
