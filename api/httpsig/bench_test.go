package httpsig

import (
	"net/http"
	"runtime"
	"testing"
)

var algorithms = []struct{ name, keyID string }{{"sm2", desk}, {"ed25519", system}}

func BenchmarkSign(b *testing.B) {
	d := newDoor(b)
	for _, a := range algorithms {
		b.Run(a.name, func(b *testing.B) {
			r := request(b, http.MethodGet, origin+"/v1/records/00ff/proof", "")
			b.ReportAllocs()
			for b.Loop() {
				if err := Sign(r, a.keyID, d.signers[a.keyID], d.clock); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	d := newDoor(b)
	for _, a := range algorithms {
		b.Run(a.name, func(b *testing.B) {
			r := d.signed(b, a.keyID, "/v1/records/00ff/proof")
			b.ReportAllocs()
			for b.Loop() {
				d.nonces = newNonces(start.Unix())
				if _, err := d.Verify(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuse is what a stranger's well-formed request with an unknown key
// costs the node.
func BenchmarkRefuse(b *testing.B) {
	d := newDoor(b)
	r := d.signed(b, desk, "/v1/records/00ff/proof")
	delete(d.keys, desk)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Verify(r); err == nil {
			b.Fatal("accepted")
		}
	}
}

// BenchmarkNonces fills the memory of one member and says what it takes.
func BenchmarkNonces(b *testing.B) {
	b.ReportAllocs()
	var used uint64
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		n := newNonces(0)
		for i := range maxNonces {
			created := int64(i) % windowSeconds
			if err := n.spend("court-a", nonce(i), created, windowSeconds); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		used = after.HeapAlloc - before.HeapAlloc
		runtime.KeepAlive(n)
	}
	b.ReportMetric(float64(used)/maxNonces, "B/nonce")
	b.ReportMetric(float64(used)*maxMembers/1e6, "MB/30members")
}
