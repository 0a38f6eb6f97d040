// Package link is the control link between a node and its gateway, both ends.
//
// A node (an edge, or a gateway of a lower tier) dials one WebSocket up to GET /v1/link with its bearer token, so a
// site behind NAT needs no open port. Over it go small JSON messages, described at [Message]: the node tells which
// cameras it offers and how they are; the gateway tells which streams it wants published.
//
// # Level-triggered
//
// Both sides send what is, not what changed, often enough that nothing depends on a message having arrived: the gateway
// sends the complete list of wanted publications on every change and every few seconds, the node makes its publishers
// match; the node sends changed states at once and all states every now and then. A reconnect begins with all of it.
//
// # Live streams on demand
//
// [Streams] is what the gateway's live plane opens streams from. The first viewer of a profile makes the node publish
// it over RTSP with a one-time token, all further viewers share it, and it stops a linger time after the last one left.
//
// # Footage in a hurry
//
// A clip that ends about now would miss what still lies in the node's open segment: [Hub.Hurry] makes the node end and
// ship it, and waits for the answer.
//
// Nobody here touches media: [Client] starts and stops publishers through [Publisher], and the gateway's RTSP server
// hands an arriving publication to [Streams.Accept].
package link
