package testnet

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// Read reads a file.
func Read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Policy reads a trust policy.
func Policy(t testing.TB, path string) *checkpoint.Policy {
	t.Helper()
	p, err := checkpoint.ParsePolicy(Read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Key reads a private key of a home.
func Key(t testing.TB, home, file string) *gm.PrivateKey {
	t.Helper()
	k, err := gm.LoadPrivateKey(filepath.Join(home, "keys", file))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Submitter signs with the vendor's submit key.
func Submitter(t testing.TB, home string) *client.Submitter {
	t.Helper()
	s := &client.Submitter{ChainID: Policy(t, filepath.Join(home, "policy.txt")).Chain,
		Member: Vendor, KeyName: "submit", Signer: Key(t, home, "submit.pem")}
	s.Source.System, s.Source.Mechanism, s.Source.Environment = "vendor_platform", "automatic", "test"
	return s
}

// Reader signs what it reads with a member's read key.
func Reader(t testing.TB, url, home, member string, o client.Options) *client.Client {
	t.Helper()
	o.KeyID, o.Signer = httpsig.KeyID(member, "read"), Key(t, home, "read.pem")
	c, err := client.New(url, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// nodeID is the id of a home's consensus node.
func nodeID(t testing.TB, home string) string {
	t.Helper()
	var card struct {
		Body struct {
			NodeID string `json:"node_id"`
		}
	}
	err := json.Unmarshal(Read(t, filepath.Join(home, "card.json")), &card)
	if err == nil && card.Body.NodeID == "" {
		err = errors.New("the card has no node id")
	}
	if err != nil {
		t.Fatal(err)
	}
	return card.Body.NodeID
}
