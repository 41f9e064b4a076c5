//! Rules, records and limits of the network, with real sockets.
