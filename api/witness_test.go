package api_test

import (
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/anchor"
	"qifeng/anchor/witness"
	"qifeng/api/apitest"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// memoryLedger is a ledger of the tests as anchors see it.
type memoryLedger struct{ *apitest.Ledger }

func (l memoryLedger) Consistency(m, n uint64) ([]merkle.Digest, error) {
	return merkle.ConsistencyAt(m, n, l.Ledger)
}

// TestNodeIsAWitness: a node cosigns the log of another consortium, through its own
// door and by the own client, from nothing and on to the next size.
func TestNodeIsAWitness(t *testing.T) {
	var server *witness.Server
	n := apitest.NewNode(t, apitest.Options{NoAnchors: true,
		Witness: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) })})
	log := apitest.NewNode(t, apitest.Options{NoAnchors: true})
	log.Ledger.Auto()
	key, err := gm.GenerateKey(gm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := witness.ParseLogs([]byte(strings.Join(log.Policy.WitnessLogKeys(&log.Policy.Epochs[0]), "\n")))
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "witness.state")
	if err := witness.InitState(state); err != nil {
		t.Fatal(err)
	}
	server, err = witness.NewServer(witness.ServerConfig{Name: "court.example/witness", Key: key, Logs: logs, Policy: n.Policy, State: state})
	if err != nil {
		t.Fatal(err)
	}
	c, err := witness.New(witness.Config{URL: n.HTTP.URL + "/witness", Witness: server.Witness(), Policy: log.Policy})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, content := range []string{"1", "2"} {
		grow(t, log, content)
		note, size, _, err := log.Ledger.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := checkpoint.Open(note, log.Policy, checkpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := c.Put(t.Context(), anchor.Checkpoint{Size: size, Root: sealed.Root, Note: note}, memoryLedger{log.Ledger})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := checkpoint.Witnessed(receipt.Note, server.Witness()); err != nil {
			t.Error(err)
		}
	}
	resp, err := http.Post(n.HTTP.URL+"/witness/add-checkpoint", "text/plain", bytes.NewReader(make([]byte, 100<<10)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 100 KiB: %d, %v", resp.StatusCode, err)
	}
	other, err := http.Post(log.HTTP.URL+"/witness/add-checkpoint", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Body.Close()
	if other.StatusCode != http.StatusNotFound {
		t.Errorf("a node that is no witness answers %d", other.StatusCode)
	}
}
