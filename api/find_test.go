package api_test

import (
	"encoding/hex"
	"testing"
	"time"

	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof/merkle"
)

func TestFind(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	dossier, other := client.NewDossier(), client.NewDossier()
	pair := merkle.Sum([]byte("same content"))
	want := map[string]bool{}
	for step := uint64(1); step <= 45; step++ {
		sub := n.Submit.Fill(&evidence.Submission{Kind: evidence.ContractFinal, Digest: &pair, Dossier: dossier, Step: step})
		req := request(t, n, sub)
		submit(t, n, req, 0)
		want[string(req.Submissions[0].ID())] = true
	}
	stray := contract(n, "other content")
	stray.Dossier = other
	submit(t, n, request(t, n, stray), 5*time.Second)

	for name, find := range map[string]func(client.Page) (*client.Records, error){
		"sm3": func(p client.Page) (*client.Records, error) {
			return n.Client.FindByDigest(t.Context(), "sm3", pair.SM3, p)
		},
		"sha256": func(p client.Page) (*client.Records, error) {
			return n.Client.FindByDigest(t.Context(), "sha256", pair.SHA256, p)
		},
		"dossier": func(p client.Page) (*client.Records, error) { return n.Client.FindByDossier(t.Context(), dossier, p) },
	} {
		t.Run(name, func(t *testing.T) {
			got, pages, page := map[string]bool{}, 0, client.Page{}
			for {
				out, err := find(page)
				if err != nil {
					t.Fatal(err)
				}
				pages++
				for _, r := range out.Records {
					if got[r.ID] {
						t.Errorf("%s stands on two pages", r.ID)
					}
					got[r.ID] = true
				}
				if out.Next == "" {
					break
				}
				page.Cursor = out.Next
			}
			if len(got) != len(want) || pages != 3 {
				t.Errorf("%d records on %d pages, want %d on 3", len(got), pages, len(want))
			}
			for id := range want {
				if !got[id] {
					t.Errorf("%s is missing", id)
				}
			}
			if out, err := find(client.Page{Limit: 7}); err != nil || len(out.Records) != 7 || out.Next == "" {
				t.Errorf("page of 7: %v, %v", out, err)
			}
		})
	}
	// What is not there is an empty page and no error, and one algorithm's hash is
	// not found under the other's name.
	for _, q := range []string{"digest=sm3:" + hex.EncodeToString(pair.SHA256[:]), "dossier=00000000000000000000000000000000"} {
		resp, body := call(t, n, "GET", "/v1/records?"+q, nil)
		if resp.StatusCode != 200 || string(body) != "{\"records\":[]}\n" {
			t.Errorf("%s: %d %s", q, resp.StatusCode, body)
		}
	}
}
