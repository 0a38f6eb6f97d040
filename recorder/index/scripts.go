package index

// The scripts below run inside Redis, so that an entry changes in one step however many recorders write. All keys of a
// call carry the same hash tag (the camera) and are declared, so they run on a Redis Cluster. Values are written by SET
// in full: APPEND would let Redis reserve up to twice the memory.

// luaHead parses and writes the camera's head entry (see type camera).
const luaHead = `
local function parse(b)
  local names, n, p = {}, 0, 3
  if b and #b >= 2 and b:byte(1) == 1 then
    n = b:byte(2)
    for i = 1, n do
      local l = b:byte(p) or 0
      names[i] = b:sub(p + 1, p + l)
      p = p + 1 + l
    end
    return names, b:sub(p)
  end
  return names, ''
end
local function build(names, days)
  local t = {string.char(1, #names)}
  for i = 1, #names do t[#t + 1] = string.char(#names[i]) .. names[i] end
  t[#t + 1] = days
  return table.concat(t)
end
local function find(days, d)
  for p = #days - 1, 1, -2 do
    local v = days:byte(p) * 256 + days:byte(p + 1)
    if v == d then return p, true end
    if v < d then return p + 2, false end
  end
  return 1, false
end
local function less(a, b)
  for i = 1, 17 do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return false
end
`

// luaAdd merges records into one hour. KEYS: head, hour. ARGV: day, packed records (ascending, without doubles; their
// shard bytes count the names that follow), shard names.
const luaAdd = luaHead + `
local head = redis.call('GET', KEYS[1])
local names, days = parse(head)
local changed = not head
local code = {[0] = 0}
for i = 3, #ARGV do
  local at
  for j = 1, #names do if names[j] == ARGV[i] then at = j end end
  if not at then
    if #names >= 255 then return redis.error_reply('ERR SHARDTABLE is full') end
    names[#names + 1] = ARGV[i]
    at, changed = #names, true
  end
  code[i - 2] = at
end
local d = tonumber(ARGV[1])
local p, has = find(days, d)
if not has then
  days = days:sub(1, p - 1) .. string.char(math.floor(d / 256), d % 256) .. days:sub(p)
  changed = true
end
local old = redis.call('GET', KEYS[2]) or ''
if #old % 24 ~= 0 then old = '' end
local t, at = {}, {}
for i = 1, #old, 24 do
  local r = old:sub(i, i + 23)
  if not head then r = r:sub(1, 23) .. '\0' end
  t[#t + 1] = r
end
local sorted, indexed = true, false
for i = 1, #ARGV[2], 24 do
  local r = ARGV[2]:sub(i, i + 22) .. string.char(code[ARGV[2]:byte(i + 23)] or 0)
  if #t == 0 or (sorted and less(t[#t], r)) then
    t[#t + 1] = r
    if indexed then at[r:sub(1, 17)] = #t end
  else
    if not indexed then
      for j = 1, #t do at[t[j]:sub(1, 17)] = j end
      indexed = true
    end
    local j = at[r:sub(1, 17)]
    if j then t[j] = r else
      t[#t + 1] = r
      at[r:sub(1, 17)] = #t
      sorted = false
    end
  end
end
if not sorted then table.sort(t, less) end
local new = table.concat(t)
if new ~= old then redis.call('SET', KEYS[2], new) end
if changed then redis.call('SET', KEYS[1], build(names, days)) end
return #t
`

// luaRemove takes records out of one hour. KEYS: head, hour, then the 24 hours of the day. ARGV: day, then pairs of
// identity and shard name (” : any). It returns how many were there.
const luaRemove = luaHead + `
local old = redis.call('GET', KEYS[2])
if not old or #old % 24 ~= 0 then return 0 end
local head = redis.call('GET', KEYS[1])
local names, days = parse(head)
local drop = {}
for i = 2, #ARGV, 2 do drop[ARGV[i]] = ARGV[i + 1] end
local t, gone = {}, 0
for i = 1, #old, 24 do
  local r = old:sub(i, i + 23)
  local want = drop[r:sub(1, 17)]
  local name = names[r:byte(24)] or ''
  if want and (want == '' or name == '' or want == name) then gone = gone + 1 else t[#t + 1] = r end
end
if gone == 0 then return 0 end
if #t > 0 then
  redis.call('SET', KEYS[2], table.concat(t))
  return gone
end
redis.call('DEL', KEYS[2])
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then return gone end
end
local p, has = find(days, tonumber(ARGV[1]))
if has then
  days = days:sub(1, p - 1) .. days:sub(p + 2)
  if days == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], build(names, days)) end
end
return gone
`
