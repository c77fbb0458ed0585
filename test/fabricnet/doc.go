// Package fabricnet starts real Hyperledger Fabric networks for tests, by
// scripts/fabric-net.sh, and ends them with the test, however that ends. What a test
// asserts is the test's.
//
// A network has the channel "anchors" with the chaincode "anchor", two
// organisations with one peer and one chaincode process each, and one raft orderer
// or four SmartBFT orderers; a start takes 3 to 5 s once Fabric's programs are in
// the cache, and two to five minutes on a machine that has to build them.
//
//	net := fabricnet.Start(t, fabricnet.Options{
//		Policies: map[string][]byte{chain: policy},
//		Writers:  map[string][]string{"qifeng/" + chain: {"Org1MSP"}},
//	})
//	contract := net.Org1().Contract(t)   // a gateway client of a user of org1
//	net.Stop(t, "orderer1"); net.Start(t, "orderer1")
//
// Where Fabric cannot be built the test says SKIPPED; QIFENG_NEED_FABRIC=1 makes
// that a failure, and .ci/run sets it. QIFENG_SKIP_FABRIC=1 leaves these tests
// out, by name.
package fabricnet
