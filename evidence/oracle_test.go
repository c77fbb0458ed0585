package evidence

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/evidence/canon"
)

// oracle says whether data is a submission by docs/spec/record.md and by
// docs/spec/canonical-json.md, with nothing of the package's decoder: the
// liberal reader must give back the same bytes, and encoding/json with regular
// expressions judges the fields.
func oracle(data []byte) bool {
	if out, err := canon.Canonicalize(data, 1<<20); err != nil || !bytes.Equal(out, data) || len(data) > MaxSubmissionBytes {
		return false
	}
	var s map[string]json.RawMessage
	if json.Unmarshal(data, &s) != nil || s == nil {
		return false
	}
	var kind string
	if json.Unmarshal(s["kind"], &kind) != nil || !slices.Contains(Kinds, Kind(kind)) {
		return false
	}
	if _, hasStep := s["step"]; hasStep && s["dossier"] == nil {
		return false
	}
	need := append(strings.Fields("captured_at key kind nonce source submitter v"), rules[Kind(kind)].required...)
	may := append(append(need, rules[Kind(kind)].optional...), strings.Fields("dossier prev refs step")...)
	for _, name := range need {
		if s[name] == nil {
			return false
		}
	}
	for name, value := range s {
		if !slices.Contains(may, name) || !oracleField(name, Kind(kind), value) {
			return false
		}
	}
	return true
}

const (
	hexPattern  = `"[0-9a-f]{64}"`
	pairPattern = `\{"sha256":` + hexPattern + `,"sm3":` + hexPattern + `\}`
)

// oraclePatterns are the texts of the fields that no list or bound closes.
var oraclePatterns = map[string]*regexp.Regexp{
	"captured_at": regexp.MustCompile(`^"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"$`),
	"pair":        regexp.MustCompile(`^` + pairPattern + `$`),
	"refs":        regexp.MustCompile(`^\[` + pairPattern + `(,` + pairPattern + `){0,15}\]$`),
	"dossier":     regexp.MustCompile(`^"[0-9a-f]{32}"$`),
	"key":         regexp.MustCompile(`^"[a-z0-9][a-z0-9._-]{0,31}"$`),
	"submitter":   regexp.MustCompile(`^"[a-z][a-z0-9-]{0,30}[a-z0-9]"$`),
}

func oracleField(name string, kind Kind, value []byte) bool {
	var text string
	var number uint64
	isText, isNumber := json.Unmarshal(value, &text) == nil, json.Unmarshal(value, &number) == nil
	switch name {
	case "algorithm":
		return isText && slices.Contains(Algorithms, text)
	case "result":
		return isText && slices.Contains(Results, text)
	case "method":
		return isText && slices.Contains(kind.Methods(), text)
	case "kind":
		return isText
	case "count", "step":
		return isNumber && 1 <= number && number <= MaxSteps
	case "size":
		return isNumber && number <= MaxContentBytes
	case "v":
		return isNumber && number == Version
	case "source":
		var s map[string]string
		return json.Unmarshal(value, &s) == nil && len(s) == 3 && slices.Contains(SourceEnvironments, s["environment"]) &&
			slices.Contains(SourceMechanisms, s["mechanism"]) && slices.Contains(SourceSystems, s["system"])
	case "captured_at":
		t, err := time.Parse(time.RFC3339, text)
		return err == nil && t.Year() >= 2000 && oraclePatterns[name].Match(value)
	case "nonce":
		name = "dossier"
	case "certificate", "claims", "digest", "prev", "root", "signature":
		name = "pair"
	case "submitter":
		if text == "none" {
			return false
		}
	}
	return oraclePatterns[name].Match(value)
}

// TestOracle takes every byte out of submissions, puts punctuation in everywhere
// and in the place of every byte, and holds what comes of it against the oracle.
func TestOracle(t *testing.T) {
	for _, k := range []Kind{ContractFinal, IdentityCertificate, DossierClose} {
		s := sample(k)
		s.Refs = nil
		raw, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			for _, piece := range []string{"", ",", `"`, "}", "0"} {
				for _, rest := range [][]byte{raw[i:], raw[i+1:]} {
					data := append(append(raw[:i:i], piece...), rest...)
					if _, err := ParseSubmission(data); (err == nil) != oracle(data) {
						t.Fatalf("%s: the oracle says %v, ParseSubmission %v", data, oracle(data), err)
					}
				}
			}
		}
	}
}

// FuzzSubmission holds ParseSubmission, and the same bytes inside a record and
// between others in a list, against the oracle.
func FuzzSubmission(f *testing.F) {
	for _, k := range Kinds {
		full, err := sample(k).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		if !oracle(full) {
			f.Fatalf("the oracle refuses %s", full)
		}
		f.Add(full)
		bare := sample(k)
		bare.Prev, bare.Refs, bare.Size, bare.Step = nil, nil, nil, 0
		raw, err := bare.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	first, err := sample(SigningIntent).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want := oracle(data)
		s, err := ParseSubmission(data)
		if (err == nil) != want {
			t.Fatalf("%q: the oracle says %v, ParseSubmission %v", data, want, err)
		}
		if _, err := ParseRecord(AppendRecord(nil, Intake{Node: "court-a", ReceivedAt: testTime}, data)); (err == nil) != want {
			t.Fatalf("%q: the oracle says %v, ParseRecord %v", data, want, err)
		}
		// What the reader keeps from one submission to the next must change nothing.
		list := append(append(append([]byte{'['}, first...), ','), data...)
		list = append(append(append(list, ','), data...), ']')
		d, reader := canon.NewDecoder(list), submissionReader{}
		var read []*Submission
		for range d.Array(3, 3) {
			read = append(read, reader.read(d, 3, len(list)))
		}
		if err := d.End(); (err == nil) != want {
			t.Fatalf("%q: the oracle says %v, the list %v", data, want, err)
		}
		if !want {
			return
		}
		for _, s := range append(read[1:], s) {
			if again, err := s.Marshal(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%q came back as %q, %v", data, again, err)
			}
		}
	})
}
