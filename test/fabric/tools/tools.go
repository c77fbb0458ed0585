//go:build tools

// Package tools pins Hyperledger Fabric 3.1.4 (by its commit; go.sum holds
// every hash) for the networks that the tests run. Nothing imports it:
// scripts/fabric-net.sh builds the programs below from this folder. It is a
// module of its own so that Fabric's dependencies never meet Qifeng's.
package tools

import (
	_ "github.com/hyperledger/fabric/cmd/configtxgen"
	_ "github.com/hyperledger/fabric/cmd/cryptogen"
	_ "github.com/hyperledger/fabric/cmd/orderer"
	_ "github.com/hyperledger/fabric/cmd/osnadmin"
	_ "github.com/hyperledger/fabric/cmd/peer"
)
