package sm2public

// affine is a point (x, y) other than infinity.
type affine struct{ x, y element }

// jacobian is the point (x/z², y/z³), infinity if z is 0.
type jacobian struct{ x, y, z element }

func (p *jacobian) isInfinity() bool { return p.z.isZero() }

func (p *jacobian) set(q *affine) { p.x, p.y, p.z = q.x, q.y, montOne }

// double sets p = 2p. The curve's a is −3 (EFD dbl-2001-b); infinity stays infinity, and no other
// point doubles to it, the order being odd.
func (p *jacobian) double() {
	var delta, gamma, beta, alpha, t element
	delta.mul(&p.z, &p.z)
	gamma.mul(&p.y, &p.y)
	beta.mul(&p.x, &gamma)
	t.sub(&p.x, &delta)
	alpha.add(&p.x, &delta)
	alpha.mul(&alpha, &t)
	t.add(&alpha, &alpha)
	alpha.add(&alpha, &t) // 3(x−δ)(x+δ)

	p.z.add(&p.y, &p.z)
	p.z.mul(&p.z, &p.z)
	p.z.sub(&p.z, &gamma)
	p.z.sub(&p.z, &delta) // 2yz

	beta.add(&beta, &beta)
	beta.add(&beta, &beta) // 4β
	p.x.mul(&alpha, &alpha)
	p.x.sub(&p.x, &beta)
	p.x.sub(&p.x, &beta) // α²−8β

	gamma.mul(&gamma, &gamma)
	gamma.add(&gamma, &gamma)
	gamma.add(&gamma, &gamma)
	gamma.add(&gamma, &gamma) // 8γ²
	t.sub(&beta, &p.x)
	p.y.mul(&alpha, &t)
	p.y.sub(&p.y, &gamma)
}

// add sets p = p + q (EFD madd, in the form of Cohen, Miyaji and Ono), whichever points they are.
func (p *jacobian) add(q *affine) {
	if p.isInfinity() {
		p.set(q)
		return
	}
	var zz, h, r, hh, hhh, v, t element
	zz.mul(&p.z, &p.z)
	h.mul(&q.x, &zz)
	h.sub(&h, &p.x) // 0 if the points have one x
	r.mul(&q.y, &zz)
	r.mul(&r, &p.z)
	r.sub(&r, &p.y) // 0 if they have one y too
	if h.isZero() {
		if r.isZero() {
			p.double()
		} else {
			*p = jacobian{}
		}
		return
	}
	hh.mul(&h, &h)
	hhh.mul(&hh, &h)
	v.mul(&p.x, &hh)
	p.z.mul(&p.z, &h)

	p.x.mul(&r, &r)
	p.x.sub(&p.x, &hhh)
	p.x.sub(&p.x, &v)
	p.x.sub(&p.x, &v) // r²−h³−2v
	t.sub(&v, &p.x)
	hhh.mul(&hhh, &p.y)
	p.y.mul(&r, &t)
	p.y.sub(&p.y, &hhh) // r(v−x)−yh³
}

// normalize gives the affine form of points, none of which is infinity, at the price of one inversion.
func normalize(points []jacobian) []affine {
	// products[i] is the product of the z before i.
	products := make([]element, len(points))
	acc := montOne
	for i := range points {
		products[i] = acc
		acc.mul(&acc, &points[i].z)
	}
	acc.invert(&acc)
	out := make([]affine, len(points))
	for i := len(points) - 1; i >= 0; i-- {
		var inv, inv2 element
		inv.mul(&acc, &products[i])
		acc.mul(&acc, &points[i].z)
		inv2.mul(&inv, &inv)
		out[i].x.mul(&points[i].x, &inv2)
		inv2.mul(&inv2, &inv)
		out[i].y.mul(&points[i].y, &inv2)
	}
	return out
}

// onCurve says that y² = x³ − 3x + b.
func (q *affine) onCurve() bool {
	var left, right, t element
	left.mul(&q.y, &q.y)
	right.mul(&q.x, &q.x)
	right.mul(&right, &q.x)
	t.add(&q.x, &q.x)
	t.add(&t, &q.x)
	right.sub(&right, &t)
	right.add(&right, &curveB)
	return left == right
}

// table holds multiples of one point P: row i has d·2^(width·i)·P for d = 1..2^(width-1). With them
// a multiple of P is one addition for each width bits of the factor, and no doubling.
type table struct {
	width  int
	points []affine
}

// newTable makes the table of a point that is not infinity: the order of the group is a prime beyond
// every factor here, so no entry is infinity either.
func newTable(p affine, width int) *table {
	rows, half := (256+width)/width, 1<<(width-1)
	bases := make([]jacobian, rows)
	var b jacobian
	b.set(&p)
	for i := range bases {
		bases[i] = b
		for range width {
			b.double()
		}
	}
	points := make([]jacobian, 0, rows*half)
	for _, base := range normalize(bases) {
		var sum jacobian
		for range half {
			sum.add(&base)
			points = append(points, sum)
		}
	}
	return &table{width: width, points: normalize(points)}
}

// addMultiple sets p = p + k·P. The factor's digits to the base 2^width are taken from −2^(width−1)
// to 2^(width−1), so that the table needs half as many points: −Q is Q with y negated.
func (t *table) addMultiple(p *jacobian, k *[4]uint64) {
	half := 1 << (t.width - 1)
	carry := 0
	for row, at := 0, 0; at <= 256; row, at = row+1, at+t.width {
		digit := window(k, at, t.width) + carry
		carry = 0
		if digit > half {
			digit, carry = digit-2*half, 1
		}
		switch {
		case digit > 0:
			p.add(&t.points[row*half+digit-1])
		case digit < 0:
			q := t.points[row*half-digit-1]
			q.y.sub(&element{}, &q.y)
			p.add(&q)
		}
	}
}

// window is the width bits of k from bit at; beyond the end they are 0.
func window(k *[4]uint64, at, width int) int {
	limb, shift := at/64, at%64
	if limb > 3 {
		return 0
	}
	v := k[limb] >> shift
	if shift+width > 64 && limb < 3 {
		v |= k[limb+1] << (64 - shift)
	}
	return int(v & (1<<width - 1))
}
