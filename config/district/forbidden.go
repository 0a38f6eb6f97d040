package district

import (
	"slices"
	"strings"
	"unicode"
)

// Forbidden reports whether no camera may be in this kind of place: the inside of guest rooms and private dining rooms,
// of rooms to live or rest in, and of baths, toilets and rooms to undress, nurse or try on in (Order 799 art. 8). Names
// are compared by what they mean: upper and lower case, blanks, hyphens, underscores, a plural, and a word for whom the
// place is for or that it is its inside make no difference. The way to such a place ("toilet corridor") is another
// place.
func Forbidden(place string) bool {
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, place)
	all := forbiddenPlaces()
	for _, inside := range []string{"", "inside", "interior", "内部", "里面", "内"} {
		bare, ok := strings.CutSuffix(name, inside)
		if !ok {
			continue
		}
		for _, whose := range []string{
			"", "public", "insideof", "inside", "womens", "women", "ladies", "mens", "men", "male", "female", "unisex", "staff",
			"hotel", "student", "公共", "公用", "女", "男", "员工", "职工", "酒店", "宾馆", "旅馆", "民宿", "招待所", "学生", "集体",
		} {
			rest, ok := strings.CutPrefix(bare, whose)
			if ok && (slices.Contains(all, rest) || slices.Contains(all, strings.TrimSuffix(rest, "s"))) {
				return true
			}
		}
	}
	return false
}

// forbiddenPlaces are the names of those places, as Forbidden compares them.
func forbiddenPlaces() []string {
	return []string{
		"guestroom", "hotelroom", "hotelbedroom", "bedroom", "客房", "客房房间",
		"privatediningroom", "diningbox", "privateroom", "包间", "包房", "包厢", "雅间",
		"dormitory", "dormitories", "dorm", "dormroom", "dormitoryroom", "宿舍", "宿舍房间", "寝室", "卧室",
		"restroom", "breakroom", "naproom", "休息室", "午休室",
		"bath", "bathroom", "bathhouse", "shower", "showerroom", "sauna", "浴室", "淋浴间", "淋浴室", "澡堂", "洗浴间", "洗澡间", "桑拿房",
		"toilet", "toiletroom", "washroom", "lavatory", "lavatories", "wc", "loo", "厕所", "卫生间", "洗手间", "盥洗室",
		"changingroom", "dressingroom", "lockerroom", "更衣室", "更衣间", "换衣间",
		"nursingroom", "lactationroom", "breastfeedingroom", "motherandbabyroom", "babycareroom", "哺乳室", "母婴室", "哺乳间",
		"fittingroom", "tryonroom", "试衣间", "试衣室",
	}
}
