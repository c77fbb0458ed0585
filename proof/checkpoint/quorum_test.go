package checkpoint

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The functions of this file state the rule a second time, over explicit
// subsets of members, and compare.

// subsetMeets is the rule in words: enough members, enough different neutral
// roles, enough of each named role.
func subsetMeets(q Quorum, members []Member, set uint) bool {
	count := map[Role]int{}
	neutral := map[Role]bool{}
	for i, m := range members {
		if set>>i&1 == 1 {
			count[m.Role]++
			if m.Role != Vendor {
				neutral[m.Role] = true
			}
		}
	}
	if bits.OnesCount(set) < q.Members || len(neutral) < q.NeutralRoles {
		return false
	}
	for _, r := range q.Require {
		if count[r.Role] < r.Count {
			return false
		}
	}
	return true
}

// roleMembers names one member per letter: c, n, a, v.
func roleMembers(letters string) []Member {
	names := map[rune]Role{'c': Court, 'n': Notary, 'a': Arbitration, 'v': Vendor}
	var out []Member
	for i, l := range letters {
		out = append(out, Member{ID: fmt.Sprintf("m%02d", i), Role: names[l]})
	}
	return out
}

// compositions lists all ways to give n members their roles, order aside.
func compositions(n int) []string {
	var out []string
	for a := range n + 1 {
		for c := range n - a + 1 {
			for k := range n - a - c + 1 {
				out = append(out, strings.Repeat("a", a)+strings.Repeat("c", c)+strings.Repeat("n", k)+strings.Repeat("v", n-a-c-k))
			}
		}
	}
	return out
}

// requires are the named-role parts that the brute force tries.
var requires = [][]Require{
	nil,
	{{Arbitration, 1}}, {{Court, 1}}, {{Court, 2}}, {{Notary, 1}}, {{Vendor, 1}}, {{Vendor, 2}},
	{{Court, 1}, {Notary, 1}}, {{Arbitration, 1}, {Court, 1}, {Notary, 1}, {Vendor, 1}},
}

// forEachRule runs f for every composition of up to 7 members and every rule
// over them, the absurd ones included.
func forEachRule(f func(members []Member, q Quorum)) {
	for n := 1; n <= 7; n++ {
		for _, letters := range compositions(n) {
			members := roleMembers(letters)
			for k := 0; k <= n+1; k++ {
				for neutral := -1; neutral <= 4; neutral++ {
					for _, r := range requires {
						f(members, Quorum{Members: k, NeutralRoles: neutral, Require: r})
					}
				}
			}
		}
	}
}

func TestQuorumValidateBruteForce(t *testing.T) {
	valid, refused := 0, 0
	forEachRule(func(members []Member, q Quorum) {
		full := uint(1)<<len(members) - 1
		var vendors uint
		for i, m := range members {
			if m.Role == Vendor {
				vendors |= 1 << i
			}
		}
		if q.Validate(members) == nil {
			valid++
			if !subsetMeets(q, members, full) {
				t.Fatalf("%v %+v: valid, but not even all members meet it", members, q)
			}
			for set := range full + 1 {
				if !subsetMeets(q, members, set) {
					continue
				}
				if 3*bits.OnesCount(set) <= 2*len(members) {
					t.Fatalf("%+v: %b of %d meets it with 2/3 or less", q, set, len(members))
				}
				if set&^vendors == 0 {
					t.Fatalf("%+v: vendors alone meet it (%b)", q, set)
				}
				if subsetMeets(q, members, full&^set) {
					t.Fatalf("%+v: two disjoint sets meet it (%b)", q, set)
				}
			}
			return
		}
		// Every refusal has a reason.
		refused++
		tooFew := 3*q.Members <= 2*len(members)
		if !tooFew && q.NeutralRoles >= MinNeutralRoles && subsetMeets(q, members, full) {
			t.Fatalf("%v %+v is refused without need: %v", members, q, q.Validate(members))
		}
	})
	if valid < 1000 || refused < 1000 {
		t.Errorf("%d valid and %d refused rules: the brute force does not cover both", valid, refused)
	}
}

// TestJudgeBruteForce: Met if and only if the rule, for every subset; and the
// sealed time is the smallest time at which the seals so far meet it.
func TestJudgeBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	forEachRule(func(members []Member, q Quorum) {
		if q.Validate(members) != nil {
			return
		}
		e := &Epoch{First: 1, Quorum: q, Members: members}
		sets := uint(1) << len(members)
		for set := range sets {
			if len(members) == 7 && set%8 != uint(q.Members)%8 {
				continue // an eighth of the largest sets keeps the test under seconds
			}
			var seals []Seal
			for i, m := range members {
				if set>>i&1 == 1 {
					seals = append(seals, Seal{Member: m.ID, Time: 1 + rng.Int64N(4)})
				}
			}
			v := q.Judge(e, seals)
			if v.Met != subsetMeets(q, members, set) {
				t.Fatalf("%+v over %v, set %b: %+v", q, members, set, v)
			}
			if v.Met != (v.Missing == "") || v.Members != bits.OnesCount(set) {
				t.Fatalf("%+v set %b: %+v", q, set, v)
			}
			if want := bruteSealedTime(q, members, seals); v.SealedTime != want {
				t.Fatalf("%+v set %b seals %v: sealed time %d, want %d", q, set, seals, v.SealedTime, want)
			}
		}
	})
}

// bruteSealedTime tries every t of the seals, and 0 if none will do.
func bruteSealedTime(q Quorum, members []Member, seals []Seal) int64 {
	for t := int64(1); t <= 4; t++ {
		var set uint
		for i, m := range members {
			if slices.ContainsFunc(seals, func(s Seal) bool { return s.Member == m.ID && s.Time <= t }) {
				set |= 1 << i
			}
		}
		if subsetMeets(q, members, set) {
			return t
		}
	}
	return 0
}

func TestToleranceBruteForce(t *testing.T) {
	forEachRule(func(members []Member, q Quorum) {
		if q.NeutralRoles < 0 || q.Members < 1 {
			return
		}
		full := uint(1)<<len(members) - 1
		// worst is the largest f such that any f failures within the mask leave
		// a set that meets the rule.
		worst := func(mask uint) int {
			smallest := bits.OnesCount(mask) + 1
			for failed := range full + 1 {
				if failed&^mask == 0 && !subsetMeets(q, members, full&^failed) {
					smallest = min(smallest, bits.OnesCount(failed))
				}
			}
			return smallest - 1
		}
		got := q.Tolerance(members)
		if want := worst(full); got.Any != want {
			t.Fatalf("%+v over %v: Any = %d, want %d", q, members, got.Any, want)
		}
		var critical []string
		masks := map[Role]uint{}
		for i, m := range members {
			masks[m.Role] |= 1 << i
			if !subsetMeets(q, members, full&^(1<<i)) {
				critical = append(critical, m.ID)
			}
		}
		if !slices.Equal(got.Critical, critical) {
			t.Fatalf("%+v over %v: Critical = %v, want %v", q, members, got.Critical, critical)
		}
		if len(got.Roles) != len(masks) {
			t.Fatalf("%+v: roles %v", q, got.Roles)
		}
		for _, r := range got.Roles {
			if want := worst(masks[r.Role]); r.Any != want || r.Members != bits.OnesCount(masks[r.Role]) {
				t.Fatalf("%+v over %v: %+v, want %d", q, members, r, want)
			}
		}
	})
}

func TestToleranceTable(t *testing.T) {
	for _, tt := range []struct {
		name     string
		letters  string
		q        Quorum
		any      int
		critical int
	}{
		{"four members, default rule", "acnv", DefaultQuorum(4), 1, 0},
		{"seven members, default rule", "aaccnnv", DefaultQuorum(7), 2, 0},
		{"one court that is required", "accnnvv", Quorum{5, 2, []Require{{Arbitration, 1}}}, 0, 1},
		{"one member", "c", Quorum{1, 1, nil}, 0, 1},
		{"all of four", "acnv", Quorum{4, 2, nil}, 0, 4},
		{"two roles, both needed, one of each", "cnvv", Quorum{3, 2, nil}, 0, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			members := roleMembers(tt.letters)
			if err := tt.q.Validate(members); err != nil {
				t.Fatal(err)
			}
			got := tt.q.Tolerance(members)
			if got.Any != tt.any || len(got.Critical) != tt.critical {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestDefaultQuorum(t *testing.T) {
	for n := 1; n <= MaxMembers; n++ {
		q := DefaultQuorum(n)
		if 3*q.Members <= 2*n || 3*(q.Members-1) > 2*n || q.Members > n {
			t.Errorf("of %d: %d is not the smallest number above 2/3", n, q.Members)
		}
	}
}

func TestQuorumValidateTable(t *testing.T) {
	four := roleMembers("acnv")
	for _, tt := range []struct {
		name    string
		members []Member
		q       Quorum
		want    string // part of the error, "" if valid
	}{
		{"default", four, DefaultQuorum(4), ""},
		{"a named role", four, Quorum{3, 1, []Require{{Court, 1}}}, ""},
		{"thirty", roleMembers(strings.Repeat("acn", 10)), DefaultQuorum(30), ""},
		{"no members", nil, Quorum{1, 1, nil}, "0 members"},
		{"thirty-one", roleMembers(strings.Repeat("c", 31)), DefaultQuorum(31), "31 members"},
		{"unknown role", []Member{{ID: "aa", Role: "judge"}}, Quorum{1, 1, nil}, "unknown role"},
		{"a member twice", []Member{{ID: "aa", Role: Court}, {ID: "aa", Role: Notary}}, Quorum{2, 1, nil}, "twice"},
		{"exactly two thirds", roleMembers("acnvvv"), Quorum{4, 2, nil}, "more than 2/3"},
		{"more than there are", four, Quorum{5, 2, nil}, "no more than there are"},
		{"negative", four, Quorum{-1, 2, nil}, "more than 2/3"},
		{"no neutral role", four, Quorum{3, 0, nil}, "vendors alone"},
		{"vendors only", roleMembers("vvvv"), Quorum{3, 1, nil}, "the members have 0"},
		{"three neutral roles of two", roleMembers("ccnv"), Quorum{3, 3, nil}, "the members have 2"},
		{"required role unknown", four, Quorum{3, 2, []Require{{"judge", 1}}}, "unknown role"},
		{"required roles unsorted", four, Quorum{3, 2, []Require{{Notary, 1}, {Court, 1}}}, "sorted"},
		{"required role twice", four, Quorum{3, 2, []Require{{Court, 1}, {Court, 1}}}, "sorted"},
		{"none required", four, Quorum{3, 2, []Require{{Court, 0}}}, "0 of role court"},
		{"two courts of one", four, Quorum{3, 2, []Require{{Court, 2}}}, "2 of role court"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.q.Validate(tt.members)
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Validate = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestJudgeFailsClosed(t *testing.T) {
	members := roleMembers("acnv")
	all := []Seal{{Member: "m00", Time: 9}, {Member: "m01", Time: 8}, {Member: "m02", Time: 7}, {Member: "m03", Time: 6}}
	q := DefaultQuorum(4)
	for _, tt := range []struct {
		name    string
		q       Quorum
		e       *Epoch
		seals   []Seal
		met     bool
		missing string
	}{
		{"all", q, &Epoch{Members: members}, all, true, ""},
		{"no epoch", q, nil, all, false, "no epoch"},
		{"the zero rule", Quorum{}, &Epoch{Members: members}, all, false, "usable rule"},
		{"a rule of a half", Quorum{2, 1, nil}, &Epoch{Members: members}, all, false, "usable rule"},
		{"no seals", q, &Epoch{Members: members}, nil, false, "3 of 4 members needed, 0 counted"},
		{"strangers", q, &Epoch{Members: members}, []Seal{{Member: "xx", Time: 1}, {Member: "yy", Time: 1}, {Member: "zz", Time: 1}}, false, "0 counted"},
		{"one member thrice", q, &Epoch{Members: members}, []Seal{all[0], all[0], all[0]}, false, "1 counted"},
		{"time 0 and below", q, &Epoch{Members: members}, []Seal{all[0], all[1], {Member: "m02"}, {Member: "m03", Time: -1}}, false, "m02 (notary): no seal"},
		{"one neutral role", Quorum{3, 2, nil}, &Epoch{Members: roleMembers("ccnv")}, []Seal{all[0], all[1], all[3]}, false, "2 different neutral roles needed, 1 counted"},
		{"required role absent", Quorum{3, 2, []Require{{Court, 1}}}, &Epoch{Members: members}, []Seal{all[0], all[2], all[3]}, false, "1 of role court needed, 0 counted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.q.Judge(tt.e, tt.seals)
			if v.Met != tt.met || !strings.Contains(v.Missing, tt.missing) || (v.SealedTime != 0) != v.Met {
				t.Errorf("%+v", v)
			}
		})
	}
	// Of two seals of a member the earlier counts.
	v := q.Judge(&Epoch{Members: members}, []Seal{{Member: "m00", Time: 50}, {Member: "m00", Time: 5}, {Member: "m01", Time: 6}, {Member: "m02", Time: 7}})
	if !v.Met || v.SealedTime != 7 {
		t.Errorf("two seals of one member: %+v", v)
	}
}
