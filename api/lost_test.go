package api_test

import (
	"strings"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/archive"
	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// TestLostBatchesAreNamed: a node that was restored from a backup says in every
// answer to an id that it does not show, and in every page of a look-up, that
// batches were lost, and says the same of absent and of foreign ones.
func TestLostBatchesAreNamed(t *testing.T) {
	lossy := &statusArchive{change: func(st *archive.Status) {
		st.Lost = archive.LostStatus{Batches: 2, First: 4, Last: 7, Records: 9,
			Newest: []archive.LostBatch{{Seq: 4, Index: 11, Counts: [3]uint64{5, 0, 0}}, {Seq: 7, Index: 20, Counts: [3]uint64{0, 1, 3}}}}
	}}
	n := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive { lossy.Archive = a; return lossy }})
	n.Ledger.Auto()
	other := notary(t, n)
	digest := merkle.Sum([]byte("x"))
	req, err := other.NewRequest(other.NewContract(evidence.ContractFinal, digest, 1))
	if err != nil {
		t.Fatal(err)
	}
	submit(t, n, req, 5*time.Second)
	n.ReadAs = n.Signs(apitest.Node)
	const says = "batches 4 to 7 of this node (2 of them, with 9 records) were lost after a backup: a mirror must answer"
	answers := map[string]bool{}
	for _, id := range []string{string(req.Submissions[0].ID()), strings.Repeat("ab", 32)} {
		for _, tail := range []string{"", "/proof"} {
			resp, body := call(t, n, "GET", "/v1/records/"+id+tail, nil)
			p := problemOf(t, resp, body)
			if p.Status != 404 || p.Code != "not-found" || !strings.Contains(p.Detail, says) {
				t.Errorf("%s", body)
			}
			answers[p.Detail] = true
		}
	}
	if len(answers) != 1 {
		t.Errorf("absent and foreign ids differ: %v", answers)
	}
	for _, sm3 := range []merkle.Digest{digest, merkle.Sum([]byte("never"))} {
		records, err := n.Client.FindByDigest(t.Context(), "sm3", sm3.SM3, client.Page{})
		if err != nil || !strings.Contains(records.Lost, says) {
			t.Errorf("%q, %v", records.Lost, err)
		}
	}
	st, err := n.Client.Status(t.Context())
	if err != nil || st.Intake.Lost == nil || st.Intake.Lost.Records != 9 || len(st.Intake.Lost.Newest) != 2 || st.Intake.Lost.Newest[1].Streams["signing"] != 3 {
		t.Errorf("%+v, %v", st.Intake.Lost, err)
	}
}
