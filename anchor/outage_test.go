package anchor_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qifeng/anchor"
)

// TestOutages has three witnesses down for a minute each, under load, together
// and one after the other; they come back in another order, calls are cut in the
// middle or hang, and the node itself is restarted while they are down. Nothing
// is lost, nothing doubled, no conflict is raised, and within one cadence after
// its return each has the newest checkpoint.
func TestOutages(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) { outages(t, rand.New(rand.NewPCG(seed, 6))) })
	}
}

func outages(t *testing.T, r *rand.Rand) {
	l := newLife(t, "tsa", "witness", "fabric")
	l.every = 20 * time.Second
	l.start()
	well := map[int]bool{} // its network is not hurt
	load := func(d time.Duration) {
		for until := time.Now().Add(d); time.Now().Before(until); {
			if i := r.IntN(3); r.IntN(3) == 0 && !well[i] {
				l.outside[i].set(func(o *outside) { o.cut = true })
			}
			l.chain.Grow(1 + r.IntN(5))
			time.Sleep(time.Duration(1+r.IntN(400)) * time.Millisecond)
		}
	}
	load(30 * time.Second)
	for range 2 {
		clear(well)
		load(10 * time.Second)
		for _, i := range r.Perm(3) {
			o := l.outside[i]
			o.set(func(o *outside) { o.down, o.cut = r.IntN(3) > 0, true })
			o.mu.Lock()
			hung := !o.down
			o.mu.Unlock()
			if hung {
				o.hang(r.IntN(2) == 0)
			}
			load(time.Duration(r.IntN(10)) * time.Second)
		}
		load(time.Minute)
		if r.IntN(2) == 0 {
			l.stop()
			for _, o := range l.outside { // a call ends with its process; the witness may hear it all the same
				o.set(func(o *outside) {
					if o.hanging != nil {
						close(o.hanging)
						o.hanging = make(chan struct{})
					}
				})
			}
			load(5 * time.Second)
			l.start()
		}
		load(time.Minute)
		for _, i := range r.Perm(3) {
			o := l.outside[i]
			held := l.chain.Size() // of what is sealed when it comes back
			well[i] = true
			o.set(func(o *outside) {
				o.down, o.cut = false, false
				if o.hanging != nil {
					close(o.hanging)
					o.hanging, o.deaf = nil, false
				}
			})
			load(l.every)
			synctest.Wait()
			if got := l.newest(o.name); got < held {
				t.Errorf("%s: one cadence after its return it has size %d, at its return %d was sealed: %+v", o.name, got, held, l.of(o.name))
			}
		}
	}
	for _, o := range l.outside {
		o.set(func(o *outside) { o.cut = false })
	}
	time.Sleep(l.every)
	synctest.Wait()
	for _, o := range l.outside {
		equal(t, o.name+" has the newest", l.newest(o.name), l.chain.Size())
		sizes := l.receipts(o.name)
		for _, size := range sizes {
			if !slices.Contains(o.taken, size) {
				t.Errorf("%s: a receipt for size %d, which it never took", o.name, size)
			}
		}
		l.mu.Lock()
		told := map[uint64]int{}
		for _, e := range l.events {
			if e.Name == o.name && e.What == anchor.Succeeded {
				told[e.Size]++
			}
		}
		l.mu.Unlock()
		for size, n := range told {
			if n > 1 || !slices.Contains(sizes, size) {
				t.Errorf("%s: size %d was told of %d times, receipts are %v", o.name, size, n, sizes)
			}
		}
		if !slices.IsSorted(o.taken) || len(slices.Compact(slices.Clone(o.taken))) != len(o.taken) {
			t.Errorf("%s took %v", o.name, o.taken)
		}
	}
	l.honest()
	l.stop()
}
