package vectors

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/timestamp"
)

func page(t *testing.T, name string) string {
	t.Helper()
	return string(read(t, filepath.Join("..", "..", "docs", "spec", name)))
}

// TestSpecNumbers holds the bounds of the text against those of the program.
func TestSpecNumbers(t *testing.T) {
	for _, c := range []struct {
		page, text string
		number     any
	}{
		{"canonical-json.md", "at most %d objects and arrays inside one another", canon.MaxDepth},
		{"canonical-json.md", "2^53 − 1 = %d", uint64(canon.MaxInt)},
		{"canonical-json.md", "| `statement` | [statement.md](statement.md) | the submitter's registered key | %d |", evidence.MaxSignedBytes},
		{"canonical-json.md", "| `batch` | [batch.md](batch.md) | the node's intake key | %d |", evidence.MaxTxBytes},
		{"canonical-json.md", "| `card` | [genesis.md](genesis.md) | the admin key that it states | %d |", evidence.MaxCardBytes},
		{"record.md", "A record is one canonical object of at most %d bytes", evidence.MaxRecordBytes},
		{"record.md", "Made and hashed by the submitter. At most %d bytes", evidence.MaxSubmissionBytes},
		{"record.md", "| `intake.index` | integer 0..%d |", evidence.MaxSubmissions - 1},
		{"record.md", "array of 1 to %d digest pairs", evidence.MaxRefs},
		{"record.md", "| `step` | optional | integer 1..%d |", evidence.MaxSteps},
		{"record.md", "at most %d bytes:\n", evidence.MaxClaimsBytes},
		{"record.md", "array of 1 to %d claim objects", evidence.MaxClaims},
		{"record.md", "| `name` | string ≤ %d, not empty", evidence.MaxClaimName},
		{"record.md", "| `value` | string ≤ %d |", evidence.MaxClaimValue},
		{"statement.md", "| `count` | integer 1..%d |", evidence.MaxSubmissions},
		{"statement.md", "canonical as a whole, at most %d bytes", evidence.MaxRequestBytes},
		{"batch.md", "| `streams.….count` | integer 1..%d |", evidence.MaxBatchRecords},
		{"receipt.md", "at most 30 days (%d ms)", evidence.MaxDeadline.Milliseconds()},
		{"genesis.md", "at most %d bytes, not signed", evidence.MaxGenesisBytes},
		{"tiles.md", "which therefore has at most %d bytes", evidence.MaxGenesisBytes},
		{"genesis.md", "array of 1 to %d signed cards", evidence.MaxMembers},
		{"genesis.md", "`^[a-z][a-z0-9-]*-[0-9a-f]{8}$`, at most %d bytes", checkpoint.MaxChainID},
		{"checkpoint.md", "It has at most %d bytes", checkpoint.MaxNote},
		{"checkpoint.md", "at most %d signature lines", checkpoint.MaxLines},
		{"policy.md", "ASCII, at most %d bytes", checkpoint.MaxPolicy},
		{"policy.md", "then 1 to %d epochs", checkpoint.MaxEpochs},
		{"policy.md", "0 to %d lines\n```", checkpoint.MaxPins},
		{"policy.md", "`k`, `n`, `r` and counts at most %d", checkpoint.MaxMembers},
		{"policy.md", "r ≥ %d, so that vendors", checkpoint.MinNeutralRoles},
		{"proof.md", "at most %d bytes. In the table", proof.MaxFileBytes},
		{"proof.md", "array of 0 to %d digest pairs", evidence.MaxPath},
		{"proof.md", "| `batch.stream_index` | | integer 0..%d |", evidence.MaxBatchRecords - 1},
		{"proof.md", "| `anchors` | always | array of 0 to %d anchors |", proof.MaxAnchors},
		{"anchors.md", "holds 0 to %d of these", proof.MaxAnchors},
		{"anchors.md", "a companion file (§2) 0 to %d.", proof.MaxFileAnchors},
		{"anchors.md", "`rfc3161`: ≤ %d bytes", timestamp.MaxTokenBytes},
		{"anchors.md", "`fabric`: ≤ %d bytes", fabric.MaxReceipt},
		{"anchors.md", "| `path` | always | array of 0 to %d digest pairs", evidence.MaxPath + 1},
		{"anchors.md", "Read like a proof file (liberally), at most %d bytes", proof.MaxAnchorFileBytes},
		{"anchors.md", "Read liberally, at most %d bytes", proof.MaxAnchorRootsBytes},
		{"anchors.md", "`roots`: array of 1 to %d certificates", timestamp.MaxRoots},
		{"anchors.md", "at most 16384 bytes (%d for `rfc3161`)", timestamp.MaxRootBytes},
		{"proof.md", "| `record` | always | canonical string ≤ %d |", evidence.MaxRecordBytes},
	} {
		if want := fmt.Sprintf(c.text, c.number); !strings.Contains(page(t, c.page), want) {
			t.Errorf("docs/spec/%s does not say %q", c.page, want)
		}
	}
}

// TestSpecWords holds closed lists, step names and verdicts of the text against
// those of the program.
func TestSpecWords(t *testing.T) {
	record := page(t, "record.md")
	for _, k := range evidence.Kinds {
		at := strings.Index(record, "\n| `"+string(k)+"` |")
		if at < 0 {
			t.Errorf("record.md has no row of %s", k)
			continue
		}
		row, _, _ := strings.Cut(record[at+1:], "\n")
		cells := strings.Split(row, "|")
		if got := strings.Fields(strings.ReplaceAll(cells[4], "`", "")); !slices.Equal(got, k.Methods()) {
			t.Errorf("record.md: methods of %s are %v, the program has %v", k, got, k.Methods())
		}
		if got := strings.TrimSpace(cells[5]); got != string(k.Stream()) {
			t.Errorf("record.md: %s goes to %s, in the program to %s", k, got, k.Stream())
		}
	}
	for _, list := range [][]string{evidence.SourceSystems, evidence.SourceMechanisms, evidence.SourceEnvironments, evidence.Results, evidence.Algorithms} {
		if want := "`" + strings.Join(list, "` `") + "`"; !strings.Contains(record, "| "+want) {
			t.Errorf("record.md does not list %s", want)
		}
	}
	steps := page(t, "proof.md")
	for i, name := range stepOrder {
		if want := fmt.Sprintf("\n| %d | `%s` |", i+1, name); !strings.Contains(steps, want) {
			t.Errorf("proof.md has no step %d %s", i+1, name)
		}
	}
	verdict := page(t, "verdict.md")
	for _, name := range []string{"valid-contract-final", "valid-no-content", "content-one-bit", "receipt-only"} {
		content := []byte(contract)
		switch name {
		case "valid-no-content":
			content = nil
		case "content-one-bit":
			content = []byte("another")
		}
		r := must(judge(content, read(t, "files/proofs/"+name+".qifeng.json"), read(t, "files/policies/trust.policy")))
		for _, w := range append(r.Limits(), r.Verdict()) {
			if !strings.Contains(verdict, "| "+w.ZH+" | "+w.EN+" |") {
				t.Errorf("verdict.md does not say %q, %q", w.ZH, w.EN)
			}
		}
	}
}

// TestSpecLinks follows the links between the pages.
func TestSpecLinks(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "spec")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for _, part := range strings.Split(page(t, e.Name()), "](")[1:] {
			link, _, _ := strings.Cut(part, ")")
			link, _, _ = strings.Cut(link, "#")
			if link == "" || strings.Contains(link, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(link))); err != nil {
				t.Errorf("%s links to %s: %v", e.Name(), link, err)
			}
		}
	}
}
