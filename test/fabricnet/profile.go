package fabricnet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Profile writes what an operator of an older network has, a common connection
// profile, for a user of an organisation. That organisation's own peer is reached
// at endpoint, if it is not "", and alone tells of commits.
func (o *Organisation) Profile(t testing.TB, endpoint string) string {
	t.Helper()
	n, b := o.net, &strings.Builder{}
	fmt.Fprintf(b, "version: 1.0.0\nclient:\n  organization: %s\nchannels:\n  %s:\n    peers:\n", o.Name, n.Channel)
	for _, other := range n.Organisations {
		fmt.Fprintf(b, "      %q: {endorsingPeer: true, chaincodeQuery: true, ledgerQuery: true, eventSource: %t}\n", other.Peer.Endpoint, other.Name == o.Name)
	}
	b.WriteString("organizations:\n")
	for _, other := range n.Organisations {
		fmt.Fprintf(b, "  %s:\n    mspid: %s\n    cryptoPath: /nonexistent\n    peers: [%q]\n", other.Name, other.MSP, other.Peer.Endpoint)
	}
	server := func(name, at, tlsName, ca string) {
		fmt.Fprintf(b, "  %q:\n    url: grpcs://%s\n    grpcOptions: {ssl-target-name-override: %q, fail-fast: false}\n    tlsCACerts: {path: %q}\n", name, at, tlsName, ca)
	}
	b.WriteString("peers:\n")
	for _, other := range n.Organisations {
		at := other.Peer.Endpoint
		if other.Name == o.Name && endpoint != "" {
			at = endpoint
		}
		server(other.Peer.Endpoint, at, other.Peer.TLSName, other.Peer.TLSCA)
	}
	b.WriteString("orderers:\n")
	for _, s := range n.Orderers {
		server(s.Endpoint, s.Endpoint, s.TLSName, s.TLSCA)
	}
	path := filepath.Join(t.TempDir(), "profile.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
