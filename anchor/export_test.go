package anchor

import "time"

// What the tests outside the package see of its inside.
var Points = points

// Grace is how long a call is waited for after its deadline.
const Grace time.Duration = grace

// SetPoint makes f the places of faults.
func SetPoint(f func(string) error) { point = f }
