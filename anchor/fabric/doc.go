// Package fabric puts checkpoints on a Hyperledger Fabric channel and brings
// back what proves offline that they are there.
package fabric
