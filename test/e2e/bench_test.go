package e2e

import (
	"slices"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/merkle"
	"qifeng/test/testnet"
)

// BenchmarkSubmitToProof measures one submission from its signing to a proof
// that verifies offline, on an idle chain of four members on this machine.
func BenchmarkSubmitToProof(b *testing.B) {
	n := testnet.NewDevnet(b)
	c, s, p := n.Client(b, vendor, client.Options{}), testnet.Submitter(b, n.Home(vendor)), testnet.Policy(b, n.PolicyPath())
	content := merkle.Sum([]byte("contract"))
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		req, err := s.NewRequest(s.NewContract(evidence.ContractFinal, content, 8))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Submit(b.Context(), req.Raw, 0); err != nil {
			b.Fatal(err)
		}
		f, err := c.WaitProof(b.Context(), req.Submissions[0].ID())
		if err != nil {
			b.Fatal(err)
		}
		if r := proof.Verify(f, p, &proof.Content{Digest: content, Size: 8}, proof.Options{}); r.Result != proof.Proved {
			b.Fatalf("not proved:\n%s", r.Text(proof.English))
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.5), "ms-median")
	b.ReportMetric(at(0.99), "ms-p99")
}
