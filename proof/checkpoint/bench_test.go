package checkpoint

import (
	"fmt"
	"testing"
)

func BenchmarkSign(b *testing.B) {
	c := fourMembers(b)
	cp := c.checkpoint(7)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Sign(cp, "court-a", 1000, c.keys["court-a"]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifySeal(b *testing.B) {
	c := fourMembers(b)
	cp := c.checkpoint(7)
	s := c.seal(b, cp, "court-a", 1000)
	m, _ := c.epoch().Member("court-a")
	b.ReportAllocs()
	for b.Loop() {
		if err := m.VerifySeal(cp, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{4, 10} {
		c := newConsortium(b, DefaultQuorum(n), manyMembers(n)...)
		var ids []string
		for _, m := range c.epoch().Members {
			ids = append(ids, m.ID)
		}
		note := c.note(b, c.checkpoint(7), ids...)
		for _, second := range []bool{false, true} {
			b.Run(fmt.Sprintf("members=%d/second=%v", n, second), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if s, err := Open(note, c.policy, Options{Second: second}); err != nil || !s.Met {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkParsePolicy(b *testing.B) {
	text := readTestdata(b, "policy.txt")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePolicy(text); err != nil {
			b.Fatal(err)
		}
	}
}
