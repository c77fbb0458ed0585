package anchor

import (
	"time"

	"github.com/syndtr/goleveldb/leveldb"
)

// What the tests outside the package see of its inside.
var Points = points

// Grace is how long a call is waited for after its deadline.
const Grace time.Duration = grace

// PointVerified is the place before a receipt is written.
const PointVerified = pointVerified

// SetPoint makes f the places of faults.
func SetPoint(f func(string) error) { point = f }

// Alarms is how many alarms of an anchor were ever kept.
func Alarms(s *Service, name string) uint64 {
	a, err := s.store.lastAlarm(name)
	if err != nil {
		panic(err)
	}
	if a == nil {
		return 0
	}
	return a.number
}

// Lose takes a receipt from the store.
func Lose(s *Service, name string, size uint64) error {
	return s.store.use(func(db *leveldb.DB) error { return db.Delete(receiptKey(name, size), nil) })
}
