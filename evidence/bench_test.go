package evidence

import (
	"fmt"
	"testing"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// benchMix are the kinds of a request as an e-signature vendor sends it: mostly
// final contracts, then the signing session around them.
var benchMix = []Kind{ContractFinal, IdentityPerson, SigningIntent, SigningSignature}

// benchSubmission is submission i of a request: half of them name the one
// before, all of signing and identity stand in a dossier.
func benchSubmission(i int) *Submission {
	s := sample(benchMix[i%len(benchMix)])
	s.Refs = nil
	s.Nonce = [16]byte{byte(i), byte(i >> 8), 0xaa}
	s.Dossier = Dossier(fmt.Sprintf("%032x", i/len(benchMix)))
	s.Step = uint64(i%len(benchMix)) + 1
	if s.Kind == ContractFinal {
		s.Dossier, s.Step = "", 0
	}
	if i%2 == 0 {
		s.Prev = nil
	}
	return s
}

func benchSubmissions(n int) []*Submission {
	subs := make([]*Submission, n)
	for i := range subs {
		subs[i] = benchSubmission(i)
	}
	return subs
}

func benchRequest(b *testing.B, n int) *Request {
	b.Helper()
	r, err := NewRequest(testChain, benchSubmissions(n), testTime, testKey(b, gm.SM2))
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// perRecord reports a benchmark's time by the record.
func perRecord(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
}

func BenchmarkParseRequest(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := benchRequest(b, n)
			b.SetBytes(int64(len(r.Raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRequest(r.Raw); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, n)
		})
	}
}

// BenchmarkDecodeRequest is the part of BenchmarkParseRequest that hashes
// nothing.
func BenchmarkDecodeRequest(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := benchRequest(b, n)
			b.SetBytes(int64(len(r.Raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeRequest(r.Raw); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, n)
		})
	}
}

// BenchmarkParseRequestHashing is the part of BenchmarkParseRequest that is the
// two hash functions and nothing of ours: the leaf pairs and the root.
func BenchmarkParseRequestHashing(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := benchRequest(b, n)
			leaves := make([][]byte, n)
			for i, s := range r.Submissions {
				leaves[i] = s.Bytes
			}
			b.ReportAllocs()
			for b.Loop() {
				merkle.Root(merkle.LeafHashes(leaves))
			}
			perRecord(b, n)
		})
	}
}

func BenchmarkParseSubmission(b *testing.B) {
	for _, k := range benchMix {
		b.Run(string(k), func(b *testing.B) {
			raw, err := sample(k).Marshal()
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseSubmission(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMarshalSubmission(b *testing.B) {
	s := benchSubmission(0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Marshal(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRecord(b *testing.B) {
	sub, err := sample(ContractFinal).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	raw := AppendRecord(nil, Intake{Node: "court-a", ReceivedAt: testTime}, sub)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRecord(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	sub, err := benchSubmission(0).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	in := Intake{Index: 42, Node: "court-a", ReceivedAt: testTime, Statement: merkle.Sum([]byte("st"))}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendRecord(buf[:0], in, sub)
	}
}

func BenchmarkEnvelope(b *testing.B) {
	sub, err := benchSubmission(0).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	e := NewEnvelope(Intake{Node: "court-a", ReceivedAt: testTime, Statement: merkle.Sum([]byte("st"))})
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Append(buf[:0], 42, sub)
	}
}

// BenchmarkNewRequest is what a sender pays; signing is one signature a request.
func BenchmarkNewRequest(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			subs, k := benchSubmissions(n), testKey(b, gm.SM2)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewRequest(testChain, subs, testTime, k); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, n)
		})
	}
}

func BenchmarkCanonicalize(b *testing.B) {
	raw, err := sample(ContractFinal).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	for name, data := range map[string][]byte{"canonical": raw, "indented": canon.Indent(raw, 3)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := canon.Canonicalize(data, MaxRecordBytes*4); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
