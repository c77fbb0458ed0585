// Package wire holds the messages of Hyperledger Fabric that a receipt is made
// of, generated from wire.proto. They are a part of fabric-protos under a name of
// our own: the verifier reads them with the library that the peers use, and gets
// no gRPC with them.
package wire
